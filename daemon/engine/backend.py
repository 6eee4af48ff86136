"""The functions an engine calls: one table, so that it knows no format, recipe or network.

`torch_backend` makes the table of this package; tests make others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeAlias

from daemon.checkpoints.library import Library
from daemon.config.content_features import Feature
from daemon.config.recipe import Recipe
from daemon.messages.reports import Measure, StagedFile
from daemon.messages.tasks import Compute, Job
from daemon.models.calls import ModelCalls
from daemon.models.registry import Model, Placement, Tick, load_model
from daemon.photo import Limits, Photo, Picture, Source

Size: TypeAlias = tuple[int, int]
"""Width and height in pixels."""

Staged: TypeAlias = tuple[tuple[StagedFile, ...], tuple[str, ...]]
"""The files of a result, the main one first, and notes for the record."""

_DEFAULT = Compute()


class RecipeOutput(Protocol):
    """The result of a recipe."""

    @property
    def pictures(self) -> Sequence[Picture]:
        """Results, at least one."""

    @property
    def measures(self) -> Sequence[Measure]:
        """Numbers for the record."""

    @property
    def notes(self) -> Sequence[str]:
        """Notes about the result for people."""


class Read(Protocol):
    """Decode a photograph, or read a file of prompts."""

    def __call__(self, photo: Photo, limits: Limits, /) -> Source:
        """Raises `PhotoError` if the file is at fault."""


class Restore(Protocol):
    """Put pictures through the steps of a recipe."""

    def __call__(
        self, recipe: Recipe, sources: tuple[Source, ...], seed: int, /
    ) -> ModelCalls[RecipeOutput]:
        """Returns a generator of model calls; `seed` is that of all noise."""


class Footprint(Protocol):
    """Estimate the memory of a recipe, in bytes, models apart; never too low."""

    def __call__(self, recipe: Recipe, sizes: Sequence[Size], /) -> int:
        """Sizes of the photographs that go in."""


class OutputSize(Protocol):
    """Tell the size of a recipe's result."""

    def __call__(self, recipe: Recipe, width: int, height: int, /) -> Size:
        """Width and height of the photograph that goes in, in pixels."""


class Write(Protocol):
    """Stage the results of a job."""

    def __call__(self, pictures: Sequence[Picture], job: Job, staging: Path, /) -> Staged:
        """`staging` is an existing, empty folder."""


class LoadModel(Protocol):
    """Load a model onto a device."""

    def __call__(self, reference: str, device: str, tick: Tick, /, *, as_pipeline: bool) -> Model:
        """The model calls `tick` between the steps of a long answer."""


class ModelBytes(Protocol):
    """Estimate the memory that a model takes on a device, in bytes."""

    def __call__(self, reference: str, device: str, /, *, as_pipeline: bool) -> int:
        """Raises an exception if the model is damaged."""


class Inspect(Protocol):
    """Measure the content of a picture."""

    def __call__(
        self, picture: Picture, features: Sequence[Feature], clip: str, /
    ) -> ModelCalls[tuple[float, ...]]:
        """Returns a generator of model calls; `clip` is the model that scores likeness, or ""."""


class InspectFootprint(Protocol):
    """Estimate the memory of an inspection, in bytes, models apart; never too low."""

    def __call__(self, width: int, height: int, /) -> int:
        """Width and height of the photograph, in pixels."""


@dataclass(frozen=True)
class Backend:
    """The functions an engine calls.

    `read`, `write` and the generators run in the engine's threads, many at a time. `load_model`,
    the models and the estimates, which must be quick, run in the thread of the engine's loop; no
    other thread touches the device.
    """

    read: Read
    restore: Restore
    footprint: Footprint
    output_size: OutputSize
    write: Write
    load_model: LoadModel
    model_bytes: ModelBytes
    inspect: Inspect
    inspect_footprint: InspectFootprint


def torch_backend(compute: Compute = _DEFAULT) -> Backend:
    """The functions of this package.

    Args:
        compute: Where models are found and how they are run.
    """
    from daemon.engine.result_writer import stage
    from daemon.photo.reading import read_source
    from daemon.restorers import chain, content, footprint

    library = Library(compute.models_dir)

    def load(reference: str, device: str, tick: Tick, *, as_pipeline: bool) -> Model:
        checkpoint = library.checkpoint(reference)
        return load_model(
            Placement(checkpoint, device, compute.options, tick), as_pipeline=as_pipeline
        )

    def model_bytes(reference: str, device: str, *, as_pipeline: bool) -> int:
        from daemon.models.memory import bytes_on_device

        placement = Placement(library.checkpoint(reference), device, compute.options)
        return bytes_on_device(placement, as_pipeline=as_pipeline)

    return Backend(
        read=read_source,
        restore=partial(chain.restore, library=library),
        footprint=partial(footprint.footprint, library=library),
        output_size=partial(footprint.output_size, library=library),
        write=partial(stage, signing=compute.signing),
        load_model=load,
        model_bytes=model_bytes,
        inspect=content.measure_features,
        inspect_footprint=content.footprint,
    )
