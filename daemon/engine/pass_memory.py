"""How much memory forward passes take, as measured, and so how many rows of a key fit into one.

The first pass of each operation of a model is its own probe: it has one call. From then on every
pass says what a row of its key takes; other sizes are estimated from that until they are measured
themselves.
"""

from collections import OrderedDict
from collections.abc import Callable

from daemon.models.calls import BatchKey

_MOST_KEYS = 512
"""Keys whose memory is kept; photographs of many sizes have many."""

_SHARE_OF_ROOM = 0.85
"""Share of the free memory that a pass may take: the allocator leaves gaps."""

_CAUTION = 1.5
"""Factor on what is estimated from another size: attention grows faster than the picture."""

Room = Callable[[], int | None]
"""Bytes that are free for one pass; None where memory is not what limits a batch."""


class PassMemory:
    """Measured memory of a row of each key.

    Args:
        room: Tells what is free.
    """

    def __init__(self, room: Room = lambda: None) -> None:
        self._room = room
        self._rows: OrderedDict[BatchKey, tuple[int, float]] = OrderedDict()
        self._per_pixel: dict[tuple[str, str], float] = {}

    def note(self, key: BatchKey, rows: int, peak_bytes: int) -> None:
        """Note what a pass of so many rows took at its peak, the model's weights apart."""
        most, _ = self._rows.get(key, (0, 0.0))
        if rows >= most:  # in a larger pass what is fixed weighs less
            self._rows[key] = (rows, peak_bytes / rows)
        self._rows.move_to_end(key)
        if len(self._rows) > _MOST_KEYS:
            self._rows.popitem(last=False)
        self._per_pixel[key.model, key.operation] = peak_bytes / rows / key.pixels

    def most_rows(self, key: BatchKey) -> int | None:
        """Rows of a key that fit into one pass now, at least 1; None where nothing limits them."""
        room = self._room()
        if room is None:
            return None
        measured = self._rows.get(key)
        if measured is not None:
            each = measured[1]
        else:
            per_pixel = self._per_pixel.get((key.model, key.operation))
            if per_pixel is None:
                return 1
            each = _CAUTION * per_pixel * key.pixels
        return max(1, int(_SHARE_OF_ROOM * room / max(1.0, each)))
