"""Asks every machine of a cluster whether it could work; for `restored check`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.checkpoints.library import Library
from daemon.executors.cluster.handshake import Hello, hello, why_differs, why_refused
from daemon.executors.cluster.membership import join, nodes
from daemon.messages.tasks import Cluster
from daemon.system.errors import RestoredError

_ANSWER_S = 60.0
"""Seconds in which a machine must answer: it may have to start a Python process."""


@dataclass(frozen=True)
class Wanted:
    """What every machine must have.

    Attributes:
        ours: Program and networks that ship.
        digests: Digests of the checkpoints that recipes name, by reference.
        models_dir: Folder of pulled models.
        folder: A folder that every machine must see, or None.
    """

    ours: Hello
    digests: Mapping[str, str]
    models_dir: Path | None
    folder: Path | None


def problems(
    cluster: Cluster, references: Sequence[str], models_dir: Path | None, folder: Path
) -> list[str]:
    """Everything that keeps machines of the cluster from working, one line each.

    Args:
        cluster: The cluster, which this process joins for the time.
        references: Checkpoints that recipes name.
        models_dir: Folder of pulled models, on every machine.
        folder: A folder of the station.
    """
    library = Library(models_dir)
    try:
        digests = {reference: library.digest(reference) for reference in references}
        wanted = Wanted(hello(), digests, models_dir, folder if cluster.shared_files else None)
        join(cluster)
        return _ask_all(cluster, wanted)
    except RestoredError as error:
        return [str(error)]


def _ask_all(cluster: Cluster, wanted: Wanted) -> list[str]:
    import ray
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    try:
        able = [node for node in nodes() if node.workers(cluster.gpus_per_worker)]
        if not able:
            needs = f"{cluster.gpus_per_worker:g} GPUs" if cluster.gpus_per_worker else "a CPU"
            return [f"the cluster has no machine with {needs} for a worker; start a node"]
        ask: Any = ray.remote(problems_here)
        asked = {
            ask.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
            ).remote(wanted): node.machine
            for node in able
        }
        done, late = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_S)
        found = [f"{asked[one]} has not answered for {_ANSWER_S:.0f} s" for one in late]
        for one in done:
            try:
                found += ray.get(one)
            except RayError as error:
                found.append(f"{asked[one]}: {str(error).strip().splitlines()[-1]}")
        return found
    finally:
        ray.shutdown()


def problems_here(wanted: Wanted) -> list[str]:
    """Why this machine could not work; it runs there."""
    here = hello()
    found = [why_refused(here, wanted.ours)]
    library = Library(wanted.models_dir)
    found += [why_differs(library, *one) for one in wanted.digests.items()]
    if wanted.folder is not None and not wanted.folder.is_dir():
        found.append(f"{here.machine} does not see {wanted.folder}; mount its disk there")
    return [why for why in found if why]
