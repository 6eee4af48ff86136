"""What the device did while something ran, as torch's profiler saw it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

_ROWS = 15
"""Operations that a profile names."""


@dataclass(frozen=True)
class DeviceTrace:
    """What a device did.

    Attributes:
        busy: Share of the time, from the first to the last thing it did, in which it did something.
        uploads: Copies to the device.
        downloads: Copies from it.
    """

    busy: float
    uploads: int
    downloads: int


def trace_device(work: Callable[[], object]) -> DeviceTrace | None:
    """Watch the device while something runs; None without a CUDA device."""
    if not torch.cuda.is_available():
        work()
        return None
    with profile(activities=[ProfilerActivity.CUDA]) as watched:
        work()
        torch.cuda.synchronize()
    events = [one for one in watched.events() or () if "CUDA" in str(one.device_type)]
    names = [one.name for one in events]
    spans = [(one.time_range.start, one.time_range.end) for one in events]
    return DeviceTrace(
        busy_share(spans),
        sum("Memcpy HtoD" in name for name in names),
        sum("Memcpy DtoH" in name for name in names),
    )


def busy_share(spans: Iterable[tuple[float, float]]) -> float:
    """Share of the time, from the first start to the last end, that is within a span."""
    ordered = sorted(spans)
    if not ordered:
        return 0.0
    busy, until = 0.0, ordered[0][0]
    for start, end in ordered:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    whole = until - ordered[0][0]
    return busy / whole if whole > 0 else 1.0


def profile_table(work: Callable[[], object]) -> str:
    """The operations that took longest while something ran, as the profiler prints them."""
    cuda = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    with profile(activities=activities) as watched:
        work()
        if cuda:
            torch.cuda.synchronize()
    order = "self_cuda_time_total" if cuda else "self_cpu_time_total"
    table: str = watched.key_averages().table(
        sort_by=order, row_limit=_ROWS, max_name_column_width=48
    )
    return table
