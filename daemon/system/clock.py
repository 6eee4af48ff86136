"""Wall clocks and time in words, also on the days on which clocks are put forward or back.

An instant is a number of seconds since the epoch; a reading is what the clock of a time zone shows
at an instant. No function asks what time it is: `now` is passed in.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import tzlocal

from daemon.system.errors import ConfigError

LATEST_S = 253_370_764_800.0
"""Latest instant that is understood: Python knows no dates after 9999."""

_STRIDE_S = 6 * 3600
"""Step in seconds of the search for changes: no place has changed its clock twice within it."""


def local_zone() -> ZoneInfo:
    """The time zone of this system, or of the TZ of this process.

    Raises:
        ConfigError: The IANA database does not know it.
    """
    try:
        return tzlocal.get_localzone()
    except (LookupError, ValueError, OSError) as error:
        raise ConfigError(
            f"the system's time zone (TZ is {os.environ.get('TZ', 'not set')}) cannot be told: "
            f"{str(error.args[0] if error.args else error).strip()}; set TZ, or `timezone` in "
            "each recipe's [schedule], to a name such as Europe/Berlin"
        ) from error


def is_over(until: float, now: float, wait_s: float) -> bool:
    """Whether a wait is over; a clock that was put back since it began does not lengthen it.

    Args:
        until: When the wait ends, UTC seconds since the epoch.
        now: UTC seconds since the epoch.
        wait_s: The longest that the wait can be, in seconds.
    """
    return not 0 < until - now <= wait_s


def wall(at: float, zone: ZoneInfo) -> datetime:
    """The reading of the clock at an instant, without its zone."""
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)


def instants(reading: datetime, zone: ZoneInfo) -> tuple[float, ...]:
    """The instants of a reading: one, two if the clock is put back over it, none if it skips it."""
    both = {reading.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)}
    return tuple(sorted(at for at in both if wall(at, zone) == reading))


def changes(after: float, until: float, zone: ZoneInfo) -> Iterator[float]:
    """The instants at which the clock is put forward or back, between two instants."""
    low = float(int(after))
    while low < until:
        high = low + _STRIDE_S
        if _offset(low, zone) != _offset(high, zone):
            yield _change_between(low, high, zone)
        low = high


def instant_in_words(at: float, now: float, zone: ZoneInfo) -> str:
    """An instant as people say it: "22:00 CET", "Mon 22:00 CET", or the date if it is far off."""
    then, today = datetime.fromtimestamp(at, zone), wall(now, zone)
    if at - now < 12 * 3600 or then.date() == today.date():
        return f"{then:%H:%M %Z}"
    return f"{then:%a %H:%M %Z}" if at - now < 6 * 86400 else f"{then:%Y-%m-%d %H:%M %Z}"


def date_in_words(at: float, zone: ZoneInfo) -> str:
    """An instant as it is written down for later: "2026-11-28 22:00 CET"."""
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M %Z}"


def duration_in_words(seconds: float) -> str:
    """A duration as people say it: "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 36 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def iso(at: float, zone: ZoneInfo) -> str:
    """An instant in ISO 8601 with its offset from UTC, to the second."""
    return datetime.fromtimestamp(at, zone).isoformat(timespec="seconds")


def _offset(at: float, zone: ZoneInfo) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()


def _change_between(low: float, high: float, zone: ZoneInfo) -> float:
    before = _offset(low, zone)
    while high - low > 1:
        middle = float(int((low + high) / 2))
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high
