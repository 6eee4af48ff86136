"""Waiting for what another thread or process does, with a deadline."""

import time
from collections.abc import Callable


def wait_for(
    condition: Callable[[], object], what: str = "the condition", *, deadline_s: float = 120
) -> None:
    """Return once the condition holds; fail the test after `deadline_s`."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
