"""Stable Diffusion 1.x, 2.x and XL, driven step by step: UNet, autoencoder and text encoders.

Comes in: groups of questions that share a key. Goes out: posterior means in the latent, latents of
pictures, pictures of latents, embeddings of prompts. Imported in the worker only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from daemon.checkpoints.library import Checkpoint
from daemon.models.calls import (
    AnswerWithNotes,
    DecodeCall,
    DenoiseCall,
    EmbedCall,
    Embedding,
    EncodeCall,
    Reply,
)
from daemon.models.loading import load_pipeline, load_schedule
from daemon.models.memory import UNASKED, precision, weights_dtype
from daemon.models.placing import place
from daemon.models.prompt_length import unread
from daemon.models.registry import Placement

_REMEMBERED = 256
"""Prompts whose embeddings are kept; one of XL has about 0.6 MiB."""


class Latent:
    """One checkpoint on one device.

    Args:
        placement: Which checkpoint, where it runs, and how.

    Raises:
        ConfigError: The checkpoint is incomplete.
    """

    def __init__(self, placement: Placement) -> None:
        checkpoint = placement.checkpoint
        self._schedule = load_schedule(checkpoint)
        self._placement = placement
        self._device = torch.device(placement.device)
        # Weights in half precision are for devices; the machine's own memory has room.
        self._dtype = torch.float32 if self._device.type == "cpu" else weights_dtype(placement)
        self._pipe = load_pipeline(checkpoint, self._dtype, **_unwanted(checkpoint))
        if self._dtype == torch.float16 and self._pipe.vae.config.get("force_upcast"):
            self._pipe.vae.to(torch.float32)
        encoders = (getattr(self._pipe, name, None) for name in ("text_encoder", "text_encoder_2"))
        present = [encoder for encoder in encoders if encoder is not None]
        place([self._pipe.unet, self._pipe.vae, *present], placement)
        self._embedded: dict[str, Embedding] = {}

    def predict(self, calls: Sequence[Any]) -> Sequence[Reply]:
        """Answers to questions that share a key, on the CPU, in their order."""
        with torch.inference_mode():
            match calls[0]:
                case DenoiseCall():
                    return self._denoised(calls)
                case EncodeCall():
                    return self._encoded(calls)
                case DecodeCall():
                    return self._decoded(calls)
                case EmbedCall():
                    return [self._told(call.text) for call in calls]
                case other:
                    raise TypeError(f"a Stable Diffusion answers no {type(other).__name__}")

    def _denoised(self, calls: Sequence[DenoiseCall]) -> list[Tensor]:
        """Posterior means (C, h, w): all tiles, with their prompts and without, in one pass."""
        exact = calls[0].exact
        x_t = torch.stack([call.x_t for call in calls]).to(self._device)
        angles = [call.t for call in calls]
        rows = [row for index, call in enumerate(calls) for row in self._rows(index, call)]
        places = torch.tensor([row.index for row in rows], device=self._device)
        seen = self._schedule.seen(x_t, angles)[places]
        times = torch.tensor([self._schedule.time(angles[row.index]) for row in rows])
        network = self._network(exact=exact)
        tokens = torch.stack([row.prompt.tokens for row in rows])
        with precision(self._placement, exact=exact):
            output = network(
                seen.to(network.dtype),
                times.to(self._device),
                encoder_hidden_states=tokens.to(self._device, network.dtype),
                added_cond_kwargs=self._added(rows),
                return_dict=False,
            )[0]
        shares = torch.tensor([row.share for row in rows], device=self._device)
        output = output.float() * shares[:, None, None, None]
        guided = torch.zeros_like(x_t).index_add_(0, places, output)
        x0 = self._schedule.clean(guided, x_t, angles, bounded=not exact)
        return list(x0.cpu().unbind(0))

    def _rows(self, index: int, call: DenoiseCall) -> list["_Row"]:
        """What the network is asked for one tile: with the prompt, and against its negative.

        negative + scale (prompt - negative), arXiv:2207.12598, is a sum with these shares.
        """
        guidance = call.guidance
        prompt = self._embedding("") if guidance is None else guidance.prompt
        if guidance is None or guidance.scale <= 1:
            return [_Row(index, prompt, 1.0)]
        negative = guidance.negative or self._nothing()
        return [
            _Row(index, prompt, guidance.scale),
            _Row(index, negative, 1 - guidance.scale),
        ]

    def _network(self, *, exact: bool) -> Any:  # noqa: ANN401  diffusers is untyped
        """The UNet, its weights in float32 while inversion asks; half precision loses nothing."""
        network = self._pipe.unet
        wanted = torch.float32 if exact else self._dtype
        if network.dtype != wanted and self._placement.options.offload != "group":
            network.to(wanted)
        return network

    def _added(self, rows: Sequence["_Row"]) -> dict[str, Tensor] | None:
        """What XL is told besides: the pooled prompt, and that tiles are whole native pictures."""
        pooled = [row.prompt.pooled for row in rows if row.prompt.pooled is not None]
        if self._pipe.unet.config.get("addition_embed_type") != "text_time":
            return None
        side = float(self._placement.checkpoint.traits.side_px)
        sizes = torch.tensor([side, side, 0, 0, side, side], device=self._device)
        dtype = self._pipe.unet.dtype
        return {
            "text_embeds": torch.stack(pooled).to(self._device, dtype),
            "time_ids": sizes.to(dtype).expand(len(rows), -1),
        }

    def _encoded(self, calls: Sequence[EncodeCall]) -> list[Tensor]:
        """Means of the pictures' latents, in the scale the network works in."""
        vae = self._pipe.vae
        pixels = torch.stack([call.pixels for call in calls]).to(self._device, vae.dtype)
        with precision(self._placement, exact=True):
            mean = vae.encode(pixels).latent_dist.mode().float()
        latent = (mean - _shift(vae)) * vae.config.scaling_factor
        return list(latent.cpu().unbind(0))

    def _decoded(self, calls: Sequence[DecodeCall]) -> list[Tensor]:
        vae = self._pipe.vae
        latent = torch.stack([call.latent for call in calls]).to(self._device)
        latent = latent / vae.config.scaling_factor + _shift(vae)
        with precision(self._placement, exact=True):
            pixels = vae.decode(latent.to(vae.dtype), return_dict=False)[0]
        return list(pixels.float().cpu().unbind(0))

    def _told(self, text: str) -> Reply:
        """What the text encoders make of a prompt, and what of it they do not read."""
        notes = unread(self._pipe, text)
        embedding = self._embedding(text)
        return AnswerWithNotes(embedding, notes) if notes else embedding

    def _embedding(self, text: str) -> Embedding:
        """What the text encoders make of a prompt, computed once."""
        if text not in self._embedded:
            if len(self._embedded) >= _REMEMBERED:
                del self._embedded[next(iter(self._embedded))]
            made = self._pipe.encode_prompt(
                prompt=[text],
                device=self._device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
            pooled = made[2][0].float().cpu() if len(made) > 2 else None
            self._embedded[text] = Embedding(made[0][0].float().cpu(), pooled)
        return self._embedded[text]

    def _nothing(self) -> Embedding:
        """What the network is told for the absence of a prompt, as in its training."""
        empty = self._embedding("")
        if not self._pipe.config.get("force_zeros_for_empty_prompt"):
            return empty
        pooled = None if empty.pooled is None else torch.zeros_like(empty.pooled)
        return Embedding(torch.zeros_like(empty.tokens), pooled)


@dataclass(frozen=True, eq=False)
class _Row:
    """One evaluation of the UNet.

    Attributes:
        index: Which call it is for.
        prompt: What it is told.
        share: Of its output in the answer.
    """

    index: int
    prompt: Embedding
    share: float


def _unwanted(checkpoint: Checkpoint) -> dict[str, None]:
    """Components that nobody asks here."""
    xl = checkpoint.traits.pipeline.startswith("StableDiffusionXL")
    networks = UNASKED - {"safety_checker"} if xl else UNASKED
    return dict.fromkeys(("feature_extractor", *networks))


def _shift(vae: Any) -> float:  # noqa: ANN401  diffusers is untyped
    return float(vae.config.get("shift_factor") or 0.0)
