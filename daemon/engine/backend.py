"""What the engine has done for it: reading, restoring, writing, answering.

Comes in: nothing. Goes out: one frozen table of functions, the real ones by default, so that the
engine itself knows no format, no recipe and no network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from daemon.checkpoints.library import Library
from daemon.config.features import Feature
from daemon.config.recipe import Recipe
from daemon.messages.reports import Measure, StagedFile
from daemon.messages.tasks import Compute
from daemon.models.calls import ModelCalls
from daemon.models.registry import Model, Placement, Tick, load_model
from daemon.photo import Limits, Photo, Picture, Source

Size = tuple[int, int]
"""Width and height, in pixels."""

_ANY = Compute()


class RecipeOutput(Protocol):
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
    """Loads a model of this reference onto a device, as a diffusers pipeline or step by step."""

    def __call__(self, reference: str, device: str, tick: Tick, *, as_pipeline: bool) -> Model:
        """Load it; it calls `tick` between the steps of a long answer."""


@dataclass(frozen=True)
class Backend:
    """The functions an engine calls; see their modules.

    Attributes:
        read: Decode a photograph, or read a file of prompts.
        restore: Put pictures through a recipe, with the job's seed.
        footprint: Bytes a recipe needs for photographs of these sizes.
        output_size: Size of the result for a photograph of this width and height.
        write: Stage the results in a folder.
        load_model: Load a model onto a device.
        model_bytes: Bytes that a model takes on a device, as a diffusers pipeline or not.
        look: Answer questions about a picture, by a CLIP model where they are about likeness.
        look_footprint: Bytes that needs for a photograph of this width and height.
    """

    read: Callable[[Photo, Limits], Source]
    restore: Callable[[Recipe, tuple[Source, ...], int], ModelCalls[RecipeOutput]]
    footprint: Callable[[Recipe, Sequence[Size]], int]
    output_size: Callable[[Recipe, int, int], Size]
    write: Callable[
        [Sequence[Picture], Recipe, Path], tuple[tuple[StagedFile, ...], tuple[str, ...]]
    ]
    load_model: LoadModel
    model_bytes: Callable[[str, str, bool], int]
    look: Callable[[Picture, Sequence[Feature], str], ModelCalls[tuple[float, ...]]]
    look_footprint: Callable[[int, int], int]


def torch_backend(compute: Compute = _ANY) -> Backend:
    """The functions of this package, with models found and run as `compute` says."""
    from daemon.engine.staging import stage
    from daemon.photo.reading import read_source
    from daemon.restorers import chain, content

    library = Library(compute.models_dir)

    def load(reference: str, device: str, tick: Tick, *, as_pipeline: bool) -> Model:
        checkpoint = library.checkpoint(reference)
        return load_model(
            Placement(checkpoint, device, compute.options, tick), as_pipeline=as_pipeline
        )

    def size(reference: str, device: str, as_pipeline: bool) -> int:
        from daemon.models.memory import bytes_on_device

        placement = Placement(library.checkpoint(reference), device, compute.options)
        return bytes_on_device(placement, as_pipeline=as_pipeline)

    return Backend(
        read=read_source,
        restore=partial(chain.restore, library=library),
        footprint=partial(chain.footprint, library=library),
        output_size=partial(chain.output_size, library=library),
        write=stage,
        load_model=load,
        model_bytes=size,
        look=content.look,
        look_footprint=content.footprint,
    )
