"""How long forward passes take, as measured: the batcher's sense of what a call costs."""

from collections import OrderedDict
from dataclasses import dataclass

from daemon.models.calls import BatchKey

_MOST_KEYS = 512
"""Keys whose times are kept; photographs of many sizes have many."""

_NEWEST_SHARE = 0.3
"""Weight of the newest pass in the mean: a change of batch size or clock is followed in a few."""


@dataclass
class _Measured:
    """Time of the passes of one key.

    Attributes:
        seconds: Moving mean.
        ended_s: When the last one ended, in seconds on the monotonic clock.
        passes: How many there were.
    """

    seconds: float
    ended_s: float
    passes: int = 1


class PassTimes:
    """Measured times of the passes of each key."""

    def __init__(self) -> None:
        self._measured: OrderedDict[BatchKey, _Measured] = OrderedDict()

    def note(self, key: BatchKey, seconds: float, now: float) -> None:
        """Note that a pass of a key took so long and has ended now."""
        measured = self._measured.get(key)
        if measured is None:
            self._measured[key] = _Measured(seconds, now)
        else:
            # The first pass of a shape also chose kernels or compiled: it counts for nothing.
            share = _NEWEST_SHARE if measured.passes > 1 else 1.0
            measured.seconds += share * (seconds - measured.seconds)
            measured.ended_s = now
            measured.passes += 1
        self._measured.move_to_end(key)
        if len(self._measured) > _MOST_KEYS:
            self._measured.popitem(last=False)

    def seconds(self, key: BatchKey) -> float:
        """Seconds of a pass of a key; 0 before the first one, so that it is soon measured."""
        measured = self._measured.get(key)
        return 0.0 if measured is None else measured.seconds

    def ended_s(self, key: BatchKey) -> float:
        """When the last pass of a key ended, on the clock of `note`; -inf before the first one."""
        measured = self._measured.get(key)
        return float("-inf") if measured is None else measured.ended_s
