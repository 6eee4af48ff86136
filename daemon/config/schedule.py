"""The schedule of a recipe: in which hours its jobs start, and how they share the device.

Comes in: the `[schedule]` table of a recipe. Goes out: whether jobs may start at an instant, and
when they may next. What counts is what the clock on the wall reads, so a window is an hour shorter
or longer on the nights on which the clock is changed.
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
_MINUTES = 24 * 60
_APART_S = 2 * 3600
_AHEAD_DAYS = 9
"""A window opens at least once a week; one that the clock skips opens a week later."""


def _as_tuple(value: Any) -> Any:  # noqa: ANN401  # whatever TOML holds
    return (value,) if isinstance(value, str) else value


Windows = Annotated[
    tuple[str, ...], BeforeValidator(_as_tuple, json_schema_input_type=str | tuple[str, ...])
]


class Schedule(BaseModel):
    """When jobs of a recipe may start; whatever is not said is always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Windows = Field(
        (), description='Start jobs only in these hours, such as "22:00-06:00"; one or a list.'
    )
    days: tuple[Day, ...] = Field(
        DAYS,
        min_length=1,
        description="Days on which a window begins; one that begins on Friday ends on Saturday.",
    )
    cron: str | None = Field(
        None, description="Start what waits at these times only: minute hour day month weekday."
    )
    timezone: str | None = Field(
        None, description="Such as Europe/Berlin; the system's time zone if it is not given."
    )
    priority: int = Field(0, ge=-10, le=10, description="Higher goes first.")
    weight: float = Field(
        1, ge=0.001, le=1000, description="Share of the starts beside recipes of equal priority."
    )

    @field_validator("window")
    @classmethod
    def _windows(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        for window in windows:
            if not _WINDOW.fullmatch(window):
                raise ValueError(f"is {window!r}, allowed are hours such as 22:00-06:00")
            if window[:5] == window[6:]:
                raise ValueError(f"is {window!r}, which is empty; leave it out for all day")
        return windows

    @field_validator("cron")
    @classmethod
    def _cron(cls, cron: str | None) -> str | None:
        allowed = 'allowed are five fields such as "0 22 * * 1-5"'
        if cron is not None:
            try:
                fires = CronSim(cron, datetime(2026, 1, 1))  # any time does
                next(fires)
            except (CronSimError, StopIteration) as error:
                raise ValueError(f"is {cron!r}, {allowed}: {error or 'never'}") from error
            if len(cron.split()) != 5:
                raise ValueError(f"is {cron!r}, {allowed}")
        return cron

    @field_validator("timezone")
    @classmethod
    def _timezone(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                ZoneInfo(name)
            except (LookupError, ValueError, OSError) as error:
                known = "allowed are names of the IANA database such as Europe/Berlin"
                raise ValueError(f"is {name!r}, {known}") from error
        return name

    @property
    def zone(self) -> ZoneInfo:
        """The time zone in which it is meant."""
        return ZoneInfo(self.timezone) if self.timezone else local_zone()

    def check_zone(self) -> None:
        """See that the time zone is known, if hours are said at all.

        Raises:
            ConfigError: None is given, and the system's cannot be told.
        """
        if self.cron is not None or not self.always_open:
            _ = self.zone

    @cached_property
    def _hours(self) -> tuple[tuple[int, int], ...]:
        """The windows in minutes of the day; one over midnight ends beyond 24 hours."""
        found = []
        for window in self.window or (_ALL_DAY,):
            start, end = (int(text[:2]) * 60 + int(text[3:]) for text in window.split("-"))
            found.append((start, end if end > start else end + _MINUTES))
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
            or (minute + _MINUTES < end and yesterday in self.days)
            for start, end in self._hours
        )

    def next_opening(self, now: float) -> float:
        """When jobs may start next, UTC seconds; `now` if they may."""
        if self.is_open(now):
            return now
        # A window that the clock skips every time it comes does not exist.
        return min((at for at in self._edges(now) if self.is_open(at)), default=math.inf)

    def last_firing(self, now: float) -> float:
        """When `cron` fired last, at `now` at the latest; what was queued since then waits.

        Endless without `cron`: nothing waits.
        """
        return self._fires(now, back=True)

    def next_firing(self, now: float) -> float:
        """When `cron` fires next, after `now`; never without it."""
        return self._fires(now, back=False)

    def _fires(self, now: float, *, back: bool) -> float:
        if self.cron is None:
            return math.inf
        # Begun within a repeated hour, cronsim takes it for the first of the two.
        start = datetime.fromtimestamp(int(now) + (_APART_S if back else -_APART_S), self.zone)
        fires = (fired.timestamp() for fired in CronSim(self.cron, start, reverse=back))
        return next((at for at in fires if (at <= now if back else at > now)), math.inf)

    def _edges(self, now: float) -> Iterator[float]:
        """Every later instant of the days ahead at which a window may begin or end."""
        midnight = wall(now, self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        for day in range(-1, _AHEAD_DAYS):
            for minute in (minute for hours in self._hours for minute in hours):
                reading = midnight + timedelta(days=day, minutes=minute)
                yield from (at for at in instants(reading, self.zone) if at > now)
        yield from changes(now, now + _AHEAD_DAYS * 86400, self.zone)
