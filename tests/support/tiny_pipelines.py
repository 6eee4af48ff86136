"""Tiny but complete pipelines: random weights, diffusers' and transformers' real classes.

Each `save_*` writes a folder as `save_pretrained` does, safetensors only, and returns it. Nothing
is downloaded: the tokenizers' vocabularies are written here. Random weights show no quality.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import diffusers
import torch
import transformers
from torch import nn

_START, _END = "<|startoftext|>", "<|endoftext|>"
_WORDS = ("photo", "graph", "old", "blue", "red", "the", "cat", "of")

STABLE_BETAS: Mapping[str, object] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
"""The schedule of Stable Diffusion's own scheduler_config.json."""


def save_pixel(
    folder: Path,
    prediction: str = "epsilon",
    *,
    channels: int = 3,
    size: int = 32,
    scheduler: str = "DDPMScheduler",
    **config: object,
) -> Path:
    """An unconditional pixel checkpoint: UNet2DModel and its scheduler."""
    unet = seeded(
        "UNet2DModel",
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    schedule = made(scheduler, prediction_type=prediction, **config)
    pipeline = "DDPMPipeline" if scheduler == "DDPMScheduler" else "DDIMPipeline"
    return saved(folder, pipeline, unet=unet, scheduler=schedule)


def save_stable(folder: Path, prediction: str = "epsilon", **config: object) -> Path:
    """Stable Diffusion 1.x with "epsilon", 2.x with "v_prediction"."""
    schedule = made("DDIMScheduler", **{**STABLE_BETAS, "prediction_type": prediction, **config})
    return saved(
        folder,
        "StableDiffusionPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=tiny_tokenizer(folder.parent / f"{folder.name}-words"),
        unet=tiny_unet(),
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_distilled(folder: Path, scheduler: str) -> Path:
    """A Stable Diffusion 1.x that was distilled for few steps: LCM tells it the guidance, too."""
    told = {"time_cond_proj_dim": 8} if scheduler == "LCMScheduler" else {}
    return saved(
        folder,
        "StableDiffusionPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=tiny_tokenizer(folder.parent / f"{folder.name}-words"),
        unet=tiny_unet(**told),
        scheduler=made(scheduler, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_xl(folder: Path, **config: object) -> Path:
    """Stable Diffusion XL: two text encoders, pooled embeddings and sizes as conditions."""
    words = folder.parent / f"{folder.name}-words"
    return saved(
        folder,
        "StableDiffusionXLPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        text_encoder_2=tiny_text_encoder(projected=True),
        tokenizer=tiny_tokenizer(words),
        tokenizer_2=tiny_tokenizer(words),
        unet=tiny_unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=made("EulerDiscreteScheduler", **_of_euler({**STABLE_BETAS, **config})),
    )


def tiny_vae(channels: int = 4, **config: object) -> nn.Module:
    """Eight times smaller latents, as Stable Diffusion's."""
    blocks = 4
    return seeded(
        "AutoencoderKL",
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=64,
        **config,
    )


def tiny_unet(**config: object) -> nn.Module:
    """Latents of 8 x 8, native pictures of 64 x 64 px."""
    whole: dict[str, object] = {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "attention_head_dim": 2,
        "cross_attention_dim": 32,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        **config,
    }
    return seeded("UNet2DConditionModel", **whole)


def tiny_text_encoder(*, projected: bool = False) -> nn.Module:
    """A CLIP text encoder 32 wide, with a projection for the second one of XL."""
    count = len(_vocabulary())
    config = transformers.CLIPTextConfig(
        vocab_size=count,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=3,
        max_position_embeddings=77,
        projection_dim=32,
        bos_token_id=count - 2,
        eos_token_id=count - 1,
        pad_token_id=count - 1,
    )
    kind = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    return _random(getattr(transformers, kind), config)


def tiny_tokenizer(folder: Path) -> object:
    """A CLIP tokenizer of bytes and a few words, from files written into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(_vocabulary())}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    merges = "\n".join(f"{left} {right}" for left, right in _merges())
    (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    tokenizer: object = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    return tokenizer


def seeded(name: str, **config: object) -> nn.Module:
    """A network of diffusers with random weights that are always the same."""
    return _random(getattr(diffusers, name), **config)


def made(name: str, **config: object) -> object:
    """A scheduler of diffusers."""
    scheduler: object = getattr(diffusers, name)(**config)
    return scheduler


def saved(folder: Path, pipeline: str, **parts: object) -> Path:
    """Save a pipeline of these parts, and say where."""
    getattr(diffusers, pipeline)(**parts).save_pretrained(folder, safe_serialization=True)
    return folder


def _random(network: Callable[..., nn.Module], *args: object, **config: object) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return network(*args, **config).eval()


def _of_euler(config: Mapping[str, object]) -> dict[str, object]:
    """What EulerDiscreteScheduler knows of a DDIM configuration."""
    return {k: v for k, v in config.items() if k not in ("clip_sample", "set_alpha_to_one")}


def _vocabulary() -> list[str]:
    letters = _letters()
    merged = [left + right for left, right in _merges()]
    return [*letters, *(f"{letter}</w>" for letter in letters), *merged, _START, _END]


def _letters() -> list[str]:
    """The bytes as CLIP's tokenizer writes them: printable ones as they are, others moved up."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = (chr(256 + number) for number in range(256 - len(printable)))
    return [chr(byte) if byte in printable else next(moved) for byte in range(256)]


def _merges() -> list[tuple[str, str]]:
    """How the words are put together, letter by letter."""
    found: dict[tuple[str, str], None] = {}
    for word in _WORDS:
        left = word[0]
        for place, letter in enumerate(word[1:], start=2):
            right = letter + "</w>" * (place == len(word))
            found[left, right] = None
            left += right
    return list(found)
