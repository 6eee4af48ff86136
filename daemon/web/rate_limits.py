"""How often one visitor may do something: buckets that fill again with time."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MAX_VISITORS = 4096
"""Visitors that are remembered; the one not heard of for longest is forgotten first."""


@dataclass
class _Bucket:
    left: float
    at: float


class RateLimit:
    """Allows `burst` at once, and `per_s` in a second from then on, to each visitor."""

    def __init__(self, burst: float, per_s: float, clock: Callable[[], float]) -> None:
        """Begin with full buckets.

        Args:
            burst: Most that is allowed at once.
            per_s: How fast a bucket fills again.
            clock: Monotonic seconds.
        """
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allows(self, visitor: str, amount: float = 1.0) -> bool:
        """Whether so much is in a visitor's bucket; nothing is taken."""
        return self._filled(visitor).left >= amount

    def take(self, visitor: str, amount: float = 1.0) -> bool:
        """Take something out of a visitor's bucket; False if there is too little in it."""
        bucket = self._filled(visitor)
        enough = bucket.left >= amount
        if enough:
            bucket.left -= amount
        return enough

    def _filled(self, visitor: str) -> _Bucket:
        """A visitor's bucket as it is now."""
        now = self._clock()
        bucket = self._buckets.pop(visitor, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_s)
        bucket.at = now
        self._buckets[visitor] = bucket
        while len(self._buckets) > _MAX_VISITORS:
            self._buckets.popitem(last=False)
        return bucket
