"""A Ray cluster for the tests that need one, started once."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.ray_cluster import Nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator["Nodes"]:
    """A head and two nodes on this machine."""
    pytest.importorskip("ray")
    from tests.support.ray_cluster import running_cluster

    with running_cluster() as made:
        yield made
