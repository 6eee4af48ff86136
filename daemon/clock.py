"""What a clock on the wall reads, also on the days on which it is put forward or back.

Comes in: instants (seconds since the epoch) and time zones. Goes out: readings, and the instants of
readings. Keeps no time of its own: `now` is passed in.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import tzlocal

_STRIDE_S = 6 * 3600
"""No place has put its clock forward and back within six hours."""


def local_zone() -> ZoneInfo:
    """The time zone of this system, or of the TZ of this process."""
    return tzlocal.get_localzone()


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


def next_reading(hour: int, minute: int, now: float, zone: ZoneInfo) -> float:
    """When the clock next reads this; on a day on which it skips that time, when it does so.

    Args:
        hour: 0 to 23.
        minute: 0 to 59.
        now: Seconds since the epoch; the result is later.
        zone: Whose clock.
    """
    today = wall(now, zone).replace(hour=hour, minute=minute, second=0, microsecond=0)
    for day in range(3):
        reading = today + timedelta(days=day)
        for at in instants(reading, zone) or changes(now, now + 72 * 3600, zone):
            if at > now:
                return at
    raise AssertionError("a clock reads every time within three days")


def spoken(at: float, now: float, zone: ZoneInfo) -> str:
    """An instant as people say it: "22:00", "Mon 22:00", or with the date beyond a week."""
    then, today = wall(at, zone), wall(now, zone)
    if at - now < 12 * 3600 or then.date() == today.date():
        return f"{then:%H:%M}"
    return f"{then:%a %H:%M}" if at - now < 6 * 86400 else f"{then:%Y-%m-%d %H:%M}"


def iso(at: float, zone: ZoneInfo | None = None) -> str:
    """An instant as ISO 8601 with its offset from UTC, to the second."""
    return datetime.fromtimestamp(at, zone or UTC).isoformat(timespec="seconds")


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
