"""What a clock on the wall reads, also on the days on which it is put forward or back.

Comes in: instants (seconds since the epoch) and time zones. Goes out: readings, and the instants of
readings. Keeps no time of its own: `now` is passed in.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import tzlocal

from daemon.system.errors import ConfigError

_STRIDE_S = 6 * 3600
"""No place has put its clock forward and back within six hours."""


def local_zone() -> ZoneInfo:
    """The time zone of this system, or of the TZ of this process.

    Raises:
        ConfigError: It is none that the IANA database knows.
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
        until: When it ends, UTC seconds since the epoch.
        now: UTC seconds since the epoch.
        wait_s: How long it is at most.
    """
    return not 0 < until - now <= wait_s


def wall(at: float, zone: ZoneInfo) -> datetime:
    """What the clock reads at an instant, without its zone."""
    return datetime.fromtimestamp(at, zone).replace(tzinfo=None, fold=0)


def instants(reading: datetime, zone: ZoneInfo) -> tuple[float, ...]:
    """When the clock reads this: once; twice if it is put back over it, never if it skips it."""
    both = {reading.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)}
    return tuple(sorted(at for at in both if wall(at, zone) == reading))


def changes(after: float, until: float, zone: ZoneInfo) -> Iterator[float]:
    """The instants at which the clock is put forward or back, after one time and up to another."""
    low = float(int(after))
    while low < until:
        high = low + _STRIDE_S
        if _offset(low, zone) != _offset(high, zone):
            yield _change_between(low, high, zone)
        low = high


def spoken(at: float, now: float, zone: ZoneInfo) -> str:
    """As people say it: "22:00 CET", "Mon 22:00 CET", or with the date beyond a week."""
    then, today = datetime.fromtimestamp(at, zone), wall(now, zone)
    if at - now < 12 * 3600 or then.date() == today.date():
        return f"{then:%H:%M %Z}"
    return f"{then:%a %H:%M %Z}" if at - now < 6 * 86400 else f"{then:%Y-%m-%d %H:%M %Z}"


def spoken_duration(seconds: float) -> str:
    """A duration in words: "40 s", "12 min", "3 h 20 min", "2 d 4 h"."""
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
    """An instant as ISO 8601 with its offset from UTC, to the second."""
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
