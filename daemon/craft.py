"""What the engine has done for it: reading, restoring, writing, answering.

Comes in: nothing. Goes out: one frozen table of functions, the real ones by default, so that the
engine itself knows no format, no recipe and no network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from daemon.call import Asking
from daemon.job import Compute, Measure, StagedFile
from daemon.models import Library, Model, Placement, Tick, load_model
from daemon.photo import Limits, Photo, Picture
from daemon.recipe import Recipe

Size = tuple[int, int]
"""Width and height, in pixels."""

_ANY = Compute()


class Finished(Protocol):
    """What a whole recipe returns."""

    @property
    def pictures(self) -> Sequence[Picture]:
        """The results."""

    @property
    def measures(self) -> Sequence[Measure]:
        """Numbers for the record."""

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know."""


class LoadModel(Protocol):
    """Loads a model of this reference onto a device; `whole` as a whole pipeline."""

    def __call__(self, reference: str, device: str, tick: Tick, *, whole: bool) -> Model:
        """Load it; it calls `tick` between the steps of a long answer."""


@dataclass(frozen=True)
class Craft:
    """The functions an engine calls; see their modules.

    Attributes:
        read: Decode a photograph.
        restore: Put pictures through a recipe, with the job's seed.
        footprint: Bytes a recipe needs for photographs of these sizes.
        output_size: Size of the result for a photograph of this width and height.
        write: Stage the results in a folder.
        load_model: Load a model onto a device.
    """

    read: Callable[[Photo, Limits], Picture]
    restore: Callable[[Recipe, tuple[Picture, ...], int], Asking[Finished]]
    footprint: Callable[[Recipe, Sequence[Size]], int]
    output_size: Callable[[Recipe, int, int], Size]
    write: Callable[
        [Sequence[Picture], Recipe, Path], tuple[tuple[StagedFile, ...], tuple[str, ...]]
    ]
    load_model: LoadModel


def real_craft(compute: Compute = _ANY) -> Craft:
    """The functions of this package, with models found and run as `compute` says."""
    from daemon.photo import read_picture
    from daemon.restorers import chain
    from daemon.results import stage

    library = Library(compute.models_dir)

    def load(reference: str, device: str, tick: Tick, *, whole: bool) -> Model:
        checkpoint = library.checkpoint(reference)
        return load_model(Placement(checkpoint, device, compute.handling, tick), whole=whole)

    return Craft(
        read=read_picture,
        restore=partial(chain.restore, library=library),
        footprint=chain.footprint,
        output_size=chain.output_size,
        write=stage,
        load_model=load,
    )
