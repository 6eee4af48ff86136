"""Stable Diffusion 1.x, 2.x and XL, driven step by step: UNet, autoencoder and text encoders."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import torch
from torch import Tensor

from daemon.checkpoints.library import Checkpoint
from daemon.config.model_reference import Adapter, split_adapted
from daemon.models.adapters import AdapterSwitch
from daemon.models.calls import (
    AnswerWithNotes,
    DecodeCall,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    Reply,
)
from daemon.models.constant_output import refuse_constant_output
from daemon.models.loading import load_noise_schedule, load_pipeline
from daemon.models.memory import UNUSED_COMPONENTS, mixed_precision, weights_dtype
from daemon.models.noise_schedule import Clipping
from daemon.models.placing import place
from daemon.models.prompt_length import truncation_notes
from daemon.models.registry import Placement
from daemon.models.transfers import compute_device, move, scalars

_CACHED_PROMPTS = 256
"""Prompts whose embeddings are kept; one of XL has about 0.6 MiB."""

_GUIDANCE_RESCALE = 0.7
"""How far guided outputs are rescaled where the schedule ends in noise alone."""

_SMALLEST_DEVIATION = 1e-8
"""Deviation of an output below which it is as good as constant."""


class Latent:
    """A Stable Diffusion on one device.

    Args:
        placement: The checkpoint, its device and options.

    Raises:
        ConfigError: The checkpoint is incomplete.
    """

    def __init__(self, placement: Placement) -> None:
        checkpoint = placement.checkpoint
        # A scheduler's bounds are those of pixels: latents go beyond 1 and are never clipped.
        self._schedule = replace(load_noise_schedule(checkpoint), clipping=Clipping())
        self._placement = placement
        self._device = torch.device(placement.device)
        # Weights in half precision are for devices; the machine's own memory has room.
        self._dtype = torch.float32 if self._device.type == "cpu" else weights_dtype(placement)
        self._pipe = load_pipeline(checkpoint, self._dtype, **_unused_components(checkpoint))
        if _decodes_in_float32(self._dtype, self._pipe.vae):
            self._pipe.vae.to(torch.float32)
        encoders = (getattr(self._pipe, name, None) for name in ("text_encoder", "text_encoder_2"))
        present = [encoder for encoder in encoders if encoder is not None]
        place([self._pipe.unet, self._pipe.vae, *present], placement)
        refuse_constant_output(self._pipe.unet, checkpoint.reference)
        self._switch = AdapterSwitch(self._pipe, placement)
        self._adapters: tuple[Adapter, ...] = ()
        self._embeddings: dict[tuple[str, tuple[Adapter, ...]], Embedding] = {}

    def predict(self, calls: Sequence[Any]) -> Sequence[Reply]:
        """Answer calls that share a key, in one forward pass.

        Returns:
            The answers in the order of the calls, where the calls' tensors lie, as the class of the
            call says.
        """
        first = calls[0]
        if not isinstance(first, DenoiseCall | EncodeCall | DecodeCall | EmbedCall):
            raise TypeError(f"a Stable Diffusion answers no {type(first).__name__}")
        self._adapters = split_adapted(first.model)[1]
        self._switch.use(self._adapters)
        with torch.inference_mode():
            match first:
                case DenoiseCall():
                    return self._denoise(calls)
                case EncodeCall():
                    return self._encode(calls)
                case DecodeCall():
                    return self._decode(calls)
                case EmbedCall():
                    return [self._embed(call.text) for call in calls]
                case _:
                    assert_never(first)

    def _denoise(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        """Posterior means (C, h, w): all tiles, with their prompts and negatives, in one pass."""
        exact = calls[0].exact
        x_t = self._batch([call.x_t for call in calls])
        angles = [call.t for call in calls]
        rows = [row for index, call in enumerate(calls) for row in self._rows(index, call)]
        network_input = self._schedule.network_input(x_t, angles)
        told = [call.condition for call in calls if call.condition is not None]
        if told:
            network_input = torch.cat((network_input, self._batch(told)), 1)
        network_input = torch.stack([network_input[row.call] for row in rows])
        timesteps = [self._schedule.timestep(angles[row.call]) for row in rows]
        unet = self._unet(exact=exact)
        tokens = self._batch([row.prompt.tokens for row in rows])
        with mixed_precision(self._placement, exact=exact):
            output = unet(
                network_input.to(unet.dtype),
                scalars(timesteps, self._device),
                encoder_hidden_states=tokens.to(unet.dtype),
                added_cond_kwargs=self._xl_conditions(rows),
                return_dict=False,
            )[0]
        output = output.float()
        guided = _weighted(output, rows)
        if self._schedule.ends_in_noise:
            prompted = [one for row, one in zip(rows, output, strict=True) if row.prompted]
            guided = rescale_guidance(guided, torch.stack(prompted))
        x0 = self._schedule.posterior_mean(guided, x_t, angles, clip=False)
        return list(move(x0, calls[0].x_t.device).unbind(0))

    def _batch(self, tensors: Sequence[Tensor]) -> Tensor:
        """Tensors of one shape as a batch on the device."""
        return move(torch.stack(list(tensors)), self._device)

    def _rows(self, index: int, call: DenoiseCall) -> list["_Row"]:
        """The rows of the UNet's batch for one tile: its prompt, and under guidance its negative.

        negative + scale (prompt - negative), arXiv:2207.12598, is a sum with these weights.
        """
        guidance = call.guidance
        prompt = self._embedding("") if guidance is None else guidance.prompt
        if guidance is None or guidance.scale <= 1:
            return [_Row(index, prompt, 1.0, prompted=True)]
        negative = guidance.negative or self._unconditional()
        return [
            _Row(index, prompt, guidance.scale, prompted=True),
            _Row(index, negative, 1 - guidance.scale, prompted=False),
        ]

    def _unet(self, *, exact: bool) -> Any:  # noqa: ANN401  diffusers is untyped
        """The UNet, in float32 for exact calls; half precision converted up loses nothing."""
        unet = self._pipe.unet
        wanted = torch.float32 if exact else self._dtype
        if unet.dtype != wanted and self._placement.options.offload != "group":
            unet.to(wanted)
        return unet

    def _xl_conditions(self, rows: Sequence["_Row"]) -> dict[str, Tensor] | None:
        """Further inputs of XL: the pooled prompt, and that a tile is a full native picture."""
        pooled = [row.prompt.pooled for row in rows if row.prompt.pooled is not None]
        if self._pipe.unet.config.get("addition_embed_type") != "text_time":
            return None
        side = float(self._placement.checkpoint.traits.side_px)
        # Original size, top left corner of the crop, target size.
        dtype = self._pipe.unet.dtype
        sizes = scalars([side, side, 0, 0, side, side], self._device, dtype)
        return {
            "text_embeds": self._batch(pooled).to(dtype),
            "time_ids": sizes.expand(len(rows), -1),
        }

    def _encode(self, calls: Sequence[EncodeCall]) -> list[Tensor]:
        """Means of the pictures' latents, in the scale that the UNet works in."""
        vae = self._pipe.vae
        pixels = self._batch([call.pixels for call in calls]).to(vae.dtype)
        with mixed_precision(self._placement, exact=True):
            mean = vae.encode(pixels).latent_dist.mode().float()
        latent = (mean - _shift_factor(vae)) * vae.config.scaling_factor
        return list(move(latent, calls[0].pixels.device).unbind(0))

    def _decode(self, calls: Sequence[DecodeCall]) -> list[Tensor]:
        vae = self._pipe.vae
        latent = self._batch([call.latent for call in calls])
        latent = latent / vae.config.scaling_factor + _shift_factor(vae)
        with mixed_precision(self._placement, exact=True):
            pixels = vae.decode(latent.to(vae.dtype), return_dict=False)[0]
        return list(move(pixels.float(), calls[0].latent.device).unbind(0))

    def _embed(self, text: str) -> Reply:
        """A prompt's embedding, with a note where the text encoders do not read all of it."""
        notes = truncation_notes(self._pipe, text)
        embedding = self._embedding(text)
        return AnswerWithNotes(embedding, notes) if notes else embedding

    def _embedding(self, text: str) -> Embedding:
        """A prompt's embedding, computed once."""
        key = (text, self._adapters)
        if key not in self._embeddings:
            if len(self._embeddings) >= _CACHED_PROMPTS:
                del self._embeddings[next(iter(self._embeddings))]
            encoded = self._pipe.encode_prompt(
                prompt=[text],
                device=self._device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            # XL returns the pooled prompt as the third of four.
            where = compute_device()
            pooled = move(encoded[2][0].float(), where) if len(encoded) > 2 else None
            self._embeddings[key] = Embedding(move(encoded[0][0].float(), where), pooled)
        return self._embeddings[key]

    def _unconditional(self) -> Embedding:
        """The embedding that stands for no prompt, as in the checkpoint's training."""
        empty = self._embedding("")
        if not self._pipe.config.get("force_zeros_for_empty_prompt"):
            return empty
        pooled = None if empty.pooled is None else torch.zeros_like(empty.pooled)
        return Embedding(torch.zeros_like(empty.tokens), pooled)


@dataclass(frozen=True, eq=False)
class _Row:
    """One row of the UNet's batch.

    Attributes:
        call: Index of the call that it is for.
        prompt: The prompt or negative that the UNet is given.
        weight: Weight of its output in the answer.
        prompted: Whether it is told the prompt rather than the negative; one row of a call is.
    """

    call: int
    prompt: Embedding
    weight: float
    prompted: bool


def rescale_guidance(guided: Tensor, prompted: Tensor) -> Tensor:
    """Bring the deviation of guided outputs most of the way back to that without guidance.

    Where the schedule ends in noise alone, guidance overexposes pictures.

    Args:
        guided: Outputs of the network under guidance, (B, C, H, W).
        prompted: Its outputs with the prompt alone, same shape.

    Returns:
        Same shape.

    Source: arXiv:2305.08891, equations 15 and 16, with its phi of 0.7.
    """
    deviations = [one.flatten(1).std(1)[:, None, None, None] for one in (guided, prompted)]
    rescaled = guided * (deviations[1] / deviations[0].clamp(min=_SMALLEST_DEVIATION))
    return guided.lerp(rescaled, _GUIDANCE_RESCALE)


def _decodes_in_float32(dtype: torch.dtype, vae: Any) -> bool:  # noqa: ANN401  diffusers is untyped
    """Whether an autoencoder is put into float32 though the other networks are not.

    fp16 overflows in some, which say so; bf16 has 8 bits of mantissa, coarser than the levels of a
    picture, and shows as bands in skies.
    """
    return dtype == torch.bfloat16 or (
        dtype == torch.float16 and bool(vae.config.get("force_upcast"))
    )


def _weighted(output: Tensor, rows: Sequence[_Row]) -> Tensor:
    """The sums of the rows of each call by their weights, in the order of the calls."""
    if all(row.weight == 1 for row in rows):
        return output
    sums: dict[int, Tensor] = {}
    for row, one in zip(rows, output.unbind(0), strict=True):
        if row.call in sums:
            sums[row.call].add_(one, alpha=row.weight)
        else:
            sums[row.call] = one * row.weight
    return torch.stack(list(sums.values()))


def _unused_components(checkpoint: Checkpoint) -> dict[str, None]:
    """Components that are not loaded, as arguments of the pipeline."""
    xl = checkpoint.traits.pipeline.startswith("StableDiffusionXL")
    # XL has no safety checker, and refuses the argument.
    networks = UNUSED_COMPONENTS - {"safety_checker"} if xl else UNUSED_COMPONENTS
    return dict.fromkeys(("feature_extractor", *networks))


def _shift_factor(vae: Any) -> float:  # noqa: ANN401  diffusers is untyped
    return float(vae.config.get("shift_factor") or 0.0)
