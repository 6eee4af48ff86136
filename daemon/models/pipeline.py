"""Checkpoints run as the diffusers pipelines that they are, several pictures as one batch.

Each picture has a random generator of its own, so that in a batch it comes out as it would alone.
The placement's `tick` is called between the steps of a run, whatever the pipeline itself offers
for that.
"""

import copy
import functools
import inspect
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from daemon.checkpoints.pipeline_calls import CallConvention, call_convention
from daemon.checkpoints.traits import PipelineUse
from daemon.config.model_reference import split_adapted
from daemon.models.adapters import AdapterSwitch
from daemon.models.calls import AnswerWithNotes, PipelineCall, PipelineSettings, Reply
from daemon.models.loading import load_pipeline
from daemon.models.memory import weights_dtype
from daemon.models.noise_schedule import noise_schedule_of
from daemon.models.placing import place_pipeline
from daemon.models.prompt_length import truncation_notes
from daemon.models.registry import Placement
from daemon.models.transfers import compute_device, download, move
from daemon.photo.notes import Note, NoteKind
from daemon.system.errors import PhotoError

_PROBE_STEPS = 1000
"""Most steps of a schedule that is made only to see how its timesteps are spaced."""

_MAX_STRENGTH = 1 - 1e-4
"""Just short of pi/2, where the noise level would be infinite."""

_NO_PATH = Path("scheduler_config.json")
"""Named in messages about the scheduler of a pipeline that is loaded already."""


class Pipeline:
    """A checkpoint's pipeline on one device, with its text-to-image and image-to-image variants.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: The checkpoint lacks a component, or has one in another format.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._base = load_pipeline(placement.checkpoint, weights_dtype(placement))
        self._base.set_progress_bar_config(disable=True)
        decode_one_by_one(self._base)
        place_pipeline(self._base, placement)
        self._switch = AdapterSwitch(self._base, placement)
        self._variants: dict[PipelineUse, Any] = {}

    def predict(self, calls: Sequence[PipelineCall]) -> list[Reply]:
        """Run calls that share a key.

        Args:
            calls: Pictures of one size with the same settings; prompts and seeds may differ.

        Returns:
            Each (3, height, width), float32, on the CPU, in [-1, 1], in the order of the calls;
            with notes where part of a prompt was not read.

        Raises:
            PhotoError: The checkpoint's own safety checker blackened one of them.
        """
        self._switch.use(split_adapted(calls[0].model)[1])
        pipeline = self._variant(calls[0].settings.use)
        convention = call_convention(type(pipeline).__name__)
        if convention.takes_batches:
            pictures = self._run(pipeline, convention, calls)
        else:
            pictures = [self._run(pipeline, convention, [call])[0] for call in calls]
        return [
            self._with_notes(picture, call, pipeline, convention)
            for picture, call in zip(pictures, calls, strict=True)
        ]

    def _with_notes(
        self,
        picture: Tensor,
        call: PipelineCall,
        pipeline: Any,  # noqa: ANN401  diffusers is untyped
        convention: CallConvention,
    ) -> Reply:
        """A picture, with notes on what was not read of its prompts."""
        notes = truncation_notes(pipeline, call.prompt)
        if call.negative and "negative_prompt" in convention.ignored_keys:
            reference = self._placement.checkpoint.reference
            said = f"{reference} takes no negative prompt: {call.negative!r} was ignored"
            notes += (Note(NoteKind.PROMPT, said),)
        elif call.negative:
            notes += truncation_notes(pipeline, call.negative)
        return AnswerWithNotes(picture, notes) if notes else picture

    def _variant(self, use: PipelineUse) -> Any:  # noqa: ANN401  diffusers is untyped
        """The pipeline for a use; all variants share the checkpoint's networks."""
        if use not in self._variants:
            self._variants[use] = _variant_of(self._base, use)
        return self._variants[use]

    def _run(
        self,
        pipeline: Any,  # noqa: ANN401  diffusers is untyped
        convention: CallConvention,
        calls: Sequence[PipelineCall],
    ) -> list[Tensor]:
        """Run a copy of the pipeline, whose scheduler and hooks are thrown away afterwards."""
        settings = calls[0].settings
        run = copy.copy(pipeline)
        run.scheduler = _with_tick(pipeline.scheduler, self._placement.tick)
        arguments = dict(convention.fixed_arguments) | self._arguments(convention, calls)
        share_run = 1.0
        if settings.strength is not None:
            arguments["strength"] = share_run = _start_at_strength(run, settings.strength)
        if settings.steps is not None:
            # A pipeline runs `strength` of the steps that it is given.
            steps = round(settings.steps / share_run)
            arguments["num_inference_steps"] = max(1, min(_max_steps(pipeline.scheduler), steps))
        parameters = inspect.signature(type(run).__call__).parameters
        given = {k: v for k, v in arguments.items() if k in parameters and v is not None}
        with torch.inference_mode():
            output = run(**given, output_type="pt")
        if any(getattr(output, "nsfw_content_detected", None) or ()):
            reference = self._placement.checkpoint.reference
            raise PhotoError(
                "",
                f"the safety checker of {reference} withheld the result",
                "try another seed or prompt",
            )
        _check_size(output.images, settings)
        pictures = (output.images.float() * 2 - 1).clamp(-1, 1)
        return list(move(pictures, compute_device()).unbind(0))

    def _arguments(
        self, convention: CallConvention, calls: Sequence[PipelineCall]
    ) -> dict[str, object]:
        """The calls as keyword arguments of diffusers; a pipeline without batches gets no lists."""
        settings = calls[0].settings
        prompts = [call.prompt for call in calls]
        negatives = [call.negative or convention.empty_negative or "" for call in calls]
        batched = convention.takes_batches
        return {
            "prompt": prompts if batched else prompts[0],
            "negative_prompt": (negatives if batched else negatives[0]) if any(negatives) else None,
            # Kontext rescales the size to an area of its own unless it is given this one.
            "max_area": settings.width * settings.height,
            "image": _image_argument(convention, calls),
            "mask_image": _mask_argument(calls),
            "height": settings.height,
            "width": settings.width,
            convention.guidance_argument: settings.guidance,
            "generator": [torch.Generator("cpu").manual_seed(call.seed) for call in calls],
        }


def decode_one_by_one(pipeline: Any) -> None:  # noqa: ANN401  diffusers is untyped
    """Let the autoencoder decode the pictures of a batch one after the other.

    The answers are the same, and a batch needs the memory of one decoding: at 1024 px decoding is
    what takes most.
    """
    slice_batches = getattr(getattr(pipeline, "vae", None), "enable_slicing", None)
    if slice_batches is not None:
        slice_batches()


def _variant_of(base: Any, use: PipelineUse) -> Any:  # noqa: ANN401  diffusers is untyped
    auto: Any
    match use:
        case "text":
            auto = diffusers.AutoPipelineForText2Image
        case "image":
            auto = diffusers.AutoPipelineForImage2Image
        case "inpaint" if not type(base).__name__.endswith("FillPipeline"):
            auto = diffusers.AutoPipelineForInpainting
        case _:
            return base
    variant = auto.from_pipe(base)
    variant.set_progress_bar_config(disable=True)
    return variant


def _check_size(images: Tensor, settings: PipelineSettings) -> None:
    """See that the pipeline kept to the size: else its result would be cropped or blended wrong."""
    height, width = images.shape[-2:]
    if (width, height) != (settings.width, settings.height):
        wanted = f"{settings.width}x{settings.height}"
        raise RuntimeError(f"the pipeline made {width}x{height} px, asked for {wanted}")


def _image_argument(convention: CallConvention, calls: Sequence[PipelineCall]) -> object:
    images = [call.image for call in calls if call.image is not None]
    if not images:
        return None
    if convention.image == "pillow":
        codes = ((images[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
        levels = download(codes).numpy()
        return Image.fromarray(np.ascontiguousarray(levels))
    batch = torch.stack(images)
    return batch if convention.image == "signed" else (batch + 1) / 2


def _mask_argument(calls: Sequence[PipelineCall]) -> Tensor | None:
    """Masks (B, 1, H, W), 1 where a picture is to be made anew; None without any."""
    masks = [call.mask for call in calls if call.mask is not None]
    return torch.stack(masks) if masks else None


def _with_tick(scheduler: Any, tick: Callable[[], None]) -> Any:  # noqa: ANN401  diffusers is untyped
    """A fresh scheduler that calls `tick` before each step.

    Every pipeline steps its scheduler, also those without a callback.
    """
    fresh = type(scheduler).from_config(scheduler.config)
    step = fresh.step

    @functools.wraps(step)
    def step_after_tick(*args: object, **kwargs: object) -> object:
        tick()
        return step(*args, **kwargs)

    fresh.step = step_after_tick
    return fresh


def _start_at_strength(pipeline: Any, strength: float) -> float:  # noqa: ANN401  diffusers is untyped
    """Let a pipeline start at the angle strength * pi/2 of its own schedule.

    Its own `strength` is a share of its steps, which is another noise level for each schedule. The
    pipeline calls `get_timesteps` once its schedule is made; here that starts at the step nearest
    to the wanted timestep.

    Returns:
        The share of its steps that are run, (0, 1].
    """
    schedule = noise_schedule_of(pipeline.scheduler, _NO_PATH)
    wanted = schedule.timestep(min(strength, _MAX_STRENGTH) * math.pi / 2)

    def get_timesteps(count: int, *_: object, **__: object) -> tuple[Tensor, int]:
        scheduler = pipeline.scheduler
        starts = scheduler.timesteps[:: scheduler.order]
        first = int((starts.double() - wanted).abs().argmin())
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first * scheduler.order)
        return scheduler.timesteps[first * scheduler.order :], len(starts) - first

    pipeline.get_timesteps = get_timesteps
    return _share_of_steps_from(pipeline.scheduler, wanted)


def _max_steps(scheduler: Any) -> int:  # noqa: ANN401  diffusers is untyped
    """Most steps that a schedule can have.

    One less than it was trained with, because of an offset. Schedules distilled for few steps (LCM,
    TCD) choose among the steps of a longer one.
    """
    steps = int(scheduler.config.num_train_timesteps) - 1
    return int(scheduler.config.get("original_inference_steps") or steps)


def _share_of_steps_from(scheduler: Any, timestep: float) -> float:  # noqa: ANN401  diffusers is untyped
    """Share of a schedule's steps that are run from a timestep on, at least one in a thousand.

    Where the schedule is shifted by the picture's size, the middle of the shifts is taken.
    """
    probe, config = type(scheduler).from_config(scheduler.config), scheduler.config
    shift = {}
    if config.get("use_dynamic_shifting"):
        shift["mu"] = (config["base_shift"] + config["max_shift"]) / 2
    probe.set_timesteps(min(_PROBE_STEPS, _max_steps(probe)), **shift)
    starts = probe.timesteps[:: probe.order]
    return max(1, int((starts <= timestep).sum())) / len(starts)
