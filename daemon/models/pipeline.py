"""A whole diffusers pipeline at work: pictures and prompts go in as one batch, pictures come out.

Loaded from this machine only, safetensors only, never with code of others. Each picture has a
generator of its own, so that a batch gives what its pictures would get alone. Between the steps of
a run the placement's `tick` is called, whatever the pipeline itself offers for that.
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
from daemon.models.calls import AnswerWithNotes, PipelineCall, PipelineSettings, Reply
from daemon.models.loading import load_pipeline
from daemon.models.memory import weights_dtype
from daemon.models.noise_schedule import schedule_of
from daemon.models.placing import place_pipeline
from daemon.models.prompt_length import unread
from daemon.models.registry import Placement
from daemon.system.errors import PhotoError

_PROBES = 1000
_WHOLLY = 1 - 1e-4
_NO_PATH = Path("scheduler_config.json")


class Pipeline:
    """One checkpoint's pipeline on one device, in every form in which it is asked.

    Args:
        placement: Which, where and how.

    Raises:
        ConfigError: The checkpoint lacks a component, or has one in another format.
    """

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._base = load_pipeline(placement.checkpoint, weights_dtype(placement))
        self._base.set_progress_bar_config(disable=True)
        place_pipeline(self._base, placement)
        self._forms: dict[PipelineUse, Any] = {}

    def predict(self, calls: Sequence[PipelineCall]) -> list[Reply]:
        """Results of calls that share a key.

        Args:
            calls: Pictures of one size with the same settings; prompts and seeds may differ.

        Returns:
            Each (3, height, width), float32, on the CPU, in [-1, 1], in the calls' order; with a
            note where words of it were passed over.

        Raises:
            PhotoError: The checkpoint's own safety checker made one of them black.
        """
        form = self._form(calls[0].settings.use)
        way = call_convention(type(form).__name__)
        if way.batches:
            made = self._run(form, way, calls)
        else:
            made = [self._run(form, way, [call])[0] for call in calls]
        return [self._told(form, way, *both) for both in zip(calls, made, strict=True)]

    def _told(self, form: Any, way: CallConvention, call: PipelineCall, made: Tensor) -> Reply:  # noqa: ANN401
        """The picture, and what was passed over of its words."""
        notes = unread(form, call.prompt)
        if call.negative and "negative_prompt" in way.ignored_keys:
            whose = self._placement.checkpoint.reference
            notes += (f"{whose} knows no negative prompt: {call.negative!r} was passed over",)
        elif call.negative:
            notes += unread(form, call.negative)
        return AnswerWithNotes(made, notes) if notes else made

    def _form(self, use: PipelineUse) -> Any:  # noqa: ANN401  diffusers is untyped
        """The pipeline that makes this of that; all forms share the checkpoint's networks."""
        if use not in self._forms:
            self._forms[use] = _form(self._base, use)
        return self._forms[use]

    def _run(self, form: Any, way: CallConvention, calls: Sequence[PipelineCall]) -> list[Tensor]:  # noqa: ANN401
        """One run of a copy of the pipeline, whose scheduler and hooks are thrown away with it."""
        settings = calls[0].settings
        own = copy.copy(form)
        own.scheduler = _watched(form.scheduler, self._placement.tick)
        arguments = dict(way.fixed) | self._arguments(way, calls)
        share = 1.0
        if settings.strength is not None:
            arguments["strength"] = share = _begin_at(own, settings.strength)
        if settings.steps is not None:
            most = _most_steps(form.scheduler)
            arguments["num_inference_steps"] = max(1, min(most, round(settings.steps / share)))
        known = inspect.signature(type(own).__call__).parameters
        given = {k: v for k, v in arguments.items() if k in known and v is not None}
        with torch.inference_mode():
            made = own(**given, output_type="pt")
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            whose = self._placement.checkpoint.reference
            raise PhotoError(
                f"the safety checker of {whose} withheld the result; try another seed or prompt"
            )
        _check_size(made.images, settings)
        return list((made.images.float().cpu() * 2 - 1).clamp(-1, 1).unbind(0))

    def _arguments(self, way: CallConvention, calls: Sequence[PipelineCall]) -> dict[str, object]:
        """What the calls say, by the names that diffusers has for it; a lone call is no list."""
        settings = calls[0].settings
        prompts = [call.prompt for call in calls]
        negatives = [call.negative or way.nothing or "" for call in calls]
        return {
            "prompt": prompts if way.batches else prompts[0],
            "negative_prompt": (negatives if way.batches else negatives[0])
            if any(negatives)
            else None,
            # Kontext makes pictures of one area, whatever size it is told.
            "max_area": settings.width * settings.height,
            "image": _pictures(way, calls),
            "height": settings.height,
            "width": settings.width,
            way.guidance: settings.guidance,
            "generator": [torch.Generator("cpu").manual_seed(call.seed) for call in calls],
        }


def _form(base: Any, use: PipelineUse) -> Any:  # noqa: ANN401  diffusers is untyped
    auto: Any
    match use:
        case "text":
            auto = diffusers.AutoPipelineForText2Image
        case "image":
            auto = diffusers.AutoPipelineForImage2Image
        case _:
            return base
    form = auto.from_pipe(base)
    form.set_progress_bar_config(disable=True)
    return form


def _check_size(images: Tensor, settings: PipelineSettings) -> None:
    """See that the pipeline kept to the size: it would be cropped or blended wrongly."""
    height, width = images.shape[-2:]
    if (width, height) != (settings.width, settings.height):
        wanted = f"{settings.width}x{settings.height}"
        raise RuntimeError(f"the pipeline made {width}x{height} px, asked for {wanted}")


def _pictures(way: CallConvention, calls: Sequence[PipelineCall]) -> object:
    images = [call.image for call in calls if call.image is not None]
    if not images:
        return None
    if way.picture == "pillow":
        levels = ((images[0] + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        return Image.fromarray(np.ascontiguousarray(levels))
    whole = torch.stack(images)
    return whole if way.picture == "signed" else (whole + 1) / 2


def _watched(scheduler: Any, tick: Callable[[], None]) -> Any:  # noqa: ANN401  diffusers is untyped
    """A fresh scheduler that asks before each step whether the run shall go on.

    Every pipeline steps its scheduler, also those that know no callback.
    """
    fresh = type(scheduler).from_config(scheduler.config)
    step = fresh.step

    @functools.wraps(step)
    def watched(*args: object, **kwargs: object) -> object:
        tick()
        return step(*args, **kwargs)

    fresh.step = watched
    return fresh


def _begin_at(pipeline: Any, strength: float) -> float:  # noqa: ANN401  diffusers is untyped
    """Let a pipeline begin at the angle strength pi/2 of its own schedule.

    Its own `strength` is a share of its steps, which means another noise level for each schedule.
    The pipeline asks `get_timesteps` where to begin when the schedule is made; the step nearest to
    the wanted time is the answer.

    Returns:
        The share of its steps that are behind that angle, (0, 1].
    """
    wanted = schedule_of(pipeline.scheduler, _NO_PATH).time(min(strength, _WHOLLY) * math.pi / 2)

    def get_timesteps(count: int, *_: object, **__: object) -> tuple[Tensor, int]:
        scheduler = pipeline.scheduler
        starts = scheduler.timesteps[:: scheduler.order]
        begin = int((starts.double() - wanted).abs().argmin())
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(begin * scheduler.order)
        return scheduler.timesteps[begin * scheduler.order :], len(starts) - begin

    pipeline.get_timesteps = get_timesteps
    return _share_behind(pipeline.scheduler, wanted)


def _most_steps(scheduler: Any) -> int:  # noqa: ANN401  diffusers is untyped
    """How many steps a schedule can have.

    As many as it was trained with; with an offset, one less. Those distilled for few steps (LCM,
    TCD) choose among so many of a longer one.
    """
    most = int(scheduler.config.num_train_timesteps) - 1
    return int(scheduler.config.get("original_inference_steps") or most)


def _share_behind(scheduler: Any, wanted: float) -> float:  # noqa: ANN401  diffusers is untyped
    """Share of a schedule's steps at times up to a wanted one, at least one in a thousand.

    Where the schedule is shifted by the picture's size, a middling size is taken.
    """
    probe, config = type(scheduler).from_config(scheduler.config), scheduler.config
    shift = {}
    if config.get("use_dynamic_shifting"):
        shift["mu"] = (config["base_shift"] + config["max_shift"]) / 2
    probe.set_timesteps(min(_PROBES, _most_steps(probe)), **shift)
    starts = probe.timesteps[:: probe.order]
    return max(1, int((starts <= wanted).sum())) / len(starts)
