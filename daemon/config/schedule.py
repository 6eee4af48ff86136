"""The schedule of a recipe: in which hours its jobs start, and how they share the device.

Hours are those of the clock on the wall. On a night on which the clocks are changed, a window is
therefore an hour shorter or longer.
"""

import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from daemon.system.clock import changes, instants, local_zone, wall

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)")
_ALL_DAY = "00:00-24:00"
_DAY_MINUTES = 24 * 60
_REPEATED_HOUR_S = 2 * 3600
"""Seconds by which a search for firings starts earlier or later than now.

It is more than the hour that is repeated when clocks are put back: a search that starts within it
takes the instant for the first of the two."""
_LOOK_AHEAD_DAYS = 9
"""Days in which a window must open. It opens once a week; one that the clock skips, a week later.
"""


def _as_tuple(value: Any) -> Any:  # noqa: ANN401  # whatever TOML holds
    return (value,) if isinstance(value, str) else value


Windows = Annotated[
    tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...])
]


class Schedule(BaseModel):
    """When jobs of a recipe may start. Without it they start as soon as the device is free."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Windows = Field(
        (),
        description="Hours in which jobs may start: one window or a list. A window that ends "
        "before it begins goes over midnight. A job that has started when a window ends is "
        "finished. Not set: any hour.",
        examples=["22:00-06:00"],
        json_schema_extra={"allowed": 'hours such as "22:00-06:00", or a list of them'},
    )
    days: tuple[Day, ...] = Field(
        DAYS,
        min_length=1,
        description="Days on which a window begins. A window that begins on Friday evening "
        "belongs to Friday, also after midnight.",
        examples=[("sat", "sun")],
    )
    cron: str | None = Field(
        None,
        description="Times at which everything that waits is released, as five fields: minute, "
        "hour, day of the month, month, day of the week. What arrives later waits for the next "
        "time. With a window as well, what is released waits for the window. Not set: nothing "
        "waits.",
        examples=["0 20 * * fri"],
        json_schema_extra={"allowed": 'five fields such as "0 22 * * 1-5"'},
    )
    timezone: str | None = Field(
        None,
        description="Time zone of these hours, by its name in the IANA database. Not set: that "
        "of the system when the daemon started, which is mostly UTC in a container.",
        examples=["Europe/Berlin"],
        json_schema_extra={"allowed": "names of the IANA database such as Europe/Berlin"},
    )
    priority: int = Field(
        0,
        ge=-10,
        le=10,
        description="Which recipe goes first: the higher number. A recipe that is passed over "
        "for ten minutes rises by one level, up to the level of the others, until one of its "
        "jobs starts.",
        examples=[-2],
    )
    weight: float = Field(
        1,
        ge=0.001,
        le=1000,
        description="Share of the starts among recipes of equal priority: with 3 a recipe starts "
        "three jobs for each one of a recipe of weight 1.",
        examples=[3],
    )

    @field_validator("window")
    @classmethod
    def _windows(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        for window in windows:
            if not _WINDOW.fullmatch(window):
                raise ValueError(f"is {window!r}; allowed: hours such as 22:00-06:00")
            if window[:5] == window[6:]:
                raise ValueError(f"is {window!r}, which is empty; leave it out for all day")
        return windows

    @field_validator("cron")
    @classmethod
    def _cron(cls, cron: str | None) -> str | None:
        allowed = 'allowed: five fields such as "0 22 * * 1-5"'
        if cron is not None:
            try:
                fires = CronSim(cron, datetime(2026, 1, 1))  # any time does
                next(fires)
            except (CronSimError, StopIteration) as error:
                raise ValueError(f"is {cron!r}; {allowed}: {error or 'never'}") from error
            if len(cron.split()) != 5:
                raise ValueError(f"is {cron!r}; {allowed}")
        return cron

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (LookupError, ValueError, OSError) as error:
                known = "allowed: names of the IANA database such as Europe/Berlin"
                raise ValueError(f"is {name!r}; {known}") from error
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of its hours."""
        return ZoneInfo(self.timezone) if self.timezone else local_zone()

    def check_zone(self) -> None:
        """Check that the time zone is known, if there are hours at all.

        Raises:
            ConfigError: None is set, and the system's cannot be determined.
        """
        if self.cron is not None or not self.always_open:
            _ = self.zone

    @cached_property
    def _hours(self) -> tuple[tuple[int, int], ...]:
        """Start and end of each window in minutes of the day; over midnight it ends above 1440."""
        found = []
        for window in self.window or (_ALL_DAY,):
            start, end = (int(text[:2]) * 60 + int(text[3:]) for text in window.split("-"))
            found.append((start, end if end > start else end + _DAY_MINUTES))
        return tuple(found)

    @property
    def always_open(self) -> bool:
        """Whether jobs may start at any hour."""
        return not self.window and set(self.days) == set(DAYS)

    def is_open(self, at: float) -> bool:
        """Whether the clock reads an hour in which jobs may start.

        Args:
            at: UTC seconds since the epoch.
        """
        if self.always_open:
            return True
        reading = wall(at, self.zone)
        minute = reading.hour * 60 + reading.minute
        today, yesterday = DAYS[reading.weekday()], DAYS[reading.weekday() - 1]
        return any(
            (start <= minute < end and today in self.days)
            or (minute + _DAY_MINUTES < end and yesterday in self.days)
            for start, end in self._hours
        )

    def next_opening(self, now: float) -> float:
        """When jobs may start next, in UTC seconds; `now` if they may already."""
        if self.is_open(now):
            return now
        # Infinity: the clock skips the window each time that it comes.
        return min((at for at in self._edges(now) if self.is_open(at)), default=math.inf)

    def last_firing(self, now: float) -> float:
        """When `cron` fired last, in UTC seconds, at most `now`. What was queued since then waits.

        Infinity without `cron`: nothing waits.
        """
        return self._fires(now, back=True)

    def next_firing(self, now: float) -> float:
        """When `cron` fires next, in UTC seconds, after `now`; infinity without `cron`."""
        return self._fires(now, back=False)

    def _fires(self, now: float, *, back: bool) -> float:
        if self.cron is None:
            return math.inf
        apart_s = _REPEATED_HOUR_S if back else -_REPEATED_HOUR_S
        start = datetime.fromtimestamp(int(now) + apart_s, self.zone)
        fires = (fired.timestamp() for fired in CronSim(self.cron, start, reverse=back))
        return next((at for at in fires if (at <= now if back else at > now)), math.inf)

    def _edges(self, now: float) -> Iterator[float]:
        """Instants after `now`, in the days ahead, at which a window may begin or end."""
        midnight = wall(now, self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        for day in range(-1, _LOOK_AHEAD_DAYS):
            for minute in (minute for hours in self._hours for minute in hours):
                reading = midnight + timedelta(days=day, minutes=minute)
                yield from (at for at in instants(reading, self.zone) if at > now)
        yield from changes(now, now + _LOOK_AHEAD_DAYS * 86400, self.zone)
