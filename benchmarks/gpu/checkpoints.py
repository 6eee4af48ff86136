"""Stable Diffusion 1.5 and XL at their real sizes with random weights, made here: no download.

The numbers are those of the public configurations (config.json of each component of
stable-diffusion-v1-5 and stable-diffusion-xl-base-1.0). Speed and memory depend on them alone, not
on what the weights are. Tiny ones of the same kinds stand in where there is no card.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

Config = Mapping[str, Any]

_diffusers: Any = diffusers  # untyped
_transformers: Any = transformers

BETAS: Config = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}
"""The noise schedule of both."""

_VAE: Config = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
_SD15_UNET: Config = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
}
_XL_UNET: Config = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
}
_CLIP_L: Config = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
}
_CLIP_BIG_G: Config = {
    "vocab_size": 49408,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "hidden_act": "gelu",
    "projection_dim": 1280,
}

_TINY_UNET: Config = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "attention_head_dim": 2,
    "cross_attention_dim": 32,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}
_TINY_XL: Config = {
    "cross_attention_dim": 64,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 32,
}
_TINY_VAE: Config = {"block_out_channels": (8,) * 4, "layers_per_block": 1, "norm_num_groups": 4}
_TINY_CLIP: Config = {
    "vocab_size": 514,
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "projection_dim": 32,
}

_START, _END = "<|startoftext|>", "<|endoftext|>"


def save_sd15(folder: Path, device: torch.device, *, tiny: bool) -> Path:
    """Write a Stable Diffusion 1.5 with random weights; returns the folder."""
    clip = _TINY_CLIP if tiny else _CLIP_L
    pipeline = _diffusers.StableDiffusionPipeline(
        vae=_vae({"scaling_factor": 0.18215, "sample_size": 512}, device, tiny=tiny),
        text_encoder=_text_encoder(_transformers.CLIPTextModel, clip, device),
        tokenizer=_tokenizer(folder.parent / "vocabulary", clip["vocab_size"]),
        unet=_unet(_TINY_UNET if tiny else _SD15_UNET, device),
        scheduler=_diffusers.DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return _save(pipeline, folder, device)


def save_xl(folder: Path, device: torch.device, *, tiny: bool) -> Path:
    """Write a Stable Diffusion XL with random weights; returns the folder."""
    first, second = (_TINY_CLIP, _TINY_CLIP) if tiny else (_CLIP_L, _CLIP_BIG_G)
    words = folder.parent / "vocabulary"
    with_projection = _transformers.CLIPTextModelWithProjection
    pipeline = _diffusers.StableDiffusionXLPipeline(
        vae=_vae({"scaling_factor": 0.13025, "sample_size": 1024}, device, tiny=tiny),
        text_encoder=_text_encoder(_transformers.CLIPTextModel, first, device),
        text_encoder_2=_text_encoder(with_projection, second, device),
        tokenizer=_tokenizer(words, first["vocab_size"]),
        tokenizer_2=_tokenizer(words, second["vocab_size"]),
        unet=_unet({**_TINY_UNET, **_TINY_XL} if tiny else _XL_UNET, device),
        scheduler=_diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="leading"),
    )
    return _save(pipeline, folder, device)


def _save(pipeline: Any, folder: Path, device: torch.device) -> Path:  # noqa: ANN401  untyped
    """Write a pipeline, in half precision where there is a card."""
    if device.type == "cuda":
        pipeline.to(dtype=torch.bfloat16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _unet(config: Config, device: torch.device) -> nn.Module:
    return _random(_diffusers.UNet2DConditionModel, device, in_channels=4, out_channels=4, **config)


def _vae(config: Config, device: torch.device, *, tiny: bool) -> nn.Module:
    shape = {**_VAE, **_TINY_VAE} if tiny else _VAE
    return _random(_diffusers.AutoencoderKL, device, **{**shape, **config})


def _text_encoder(network: Any, config: Config, device: torch.device) -> nn.Module:  # noqa: ANN401
    last = int(config["vocab_size"]) - 1
    special = {"bos_token_id": last - 1, "eos_token_id": last, "pad_token_id": last}
    text = _transformers.CLIPTextConfig(max_position_embeddings=77, **config, **special)
    with torch.device(device):
        made: nn.Module = network(text).eval()
    return made


def _random(network: Any, device: torch.device, **config: object) -> nn.Module:  # noqa: ANN401
    """A network with the random weights that its layers begin with."""
    torch.manual_seed(0)
    with torch.device(device):
        made: nn.Module = network(**config).eval()
    return made


def _tokenizer(folder: Path, vocabulary_size: int) -> object:
    """A CLIP tokenizer that writes texts byte by byte, with the special tokens at their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = (chr(256 + number) for number in range(256 - len(printable)))
    letters = [chr(byte) if byte in printable else next(moved) for byte in range(256)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += [f"<|unused {number}|>" for number in range(len(tokens), vocabulary_size - 2)]
    numbers = {token: number for number, token in enumerate([*tokens, _START, _END])}
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer: object = _transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)
    return tokenizer
