"""Tiny networks with random weights, of diffusers' and transformers' real classes.

Weights are the same in every run. They show no quality.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import diffusers
import torch
import transformers
from torch import nn

from tests.support.tiny_tokenizers import clip_vocabulary, t5_words

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


def tiny_vae(channels: int = 4, **config: object) -> nn.Module:
    """An autoencoder whose latents are 8 times smaller, as Stable Diffusion's."""
    blocks = 4
    return make_network(
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
    """A UNet for latents of 8 x 8, so for pictures of 64 x 64 px."""
    defaults: dict[str, object] = {
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
    return make_network("UNet2DConditionModel", **defaults)


def tiny_text_encoder(*, projected: bool = False) -> nn.Module:
    """A CLIP text encoder 32 wide, with a projection for the second one of XL."""
    count = len(clip_vocabulary())
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
    name = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    return random_network(getattr(transformers, name), config)


def t5_config(width: int = 32) -> transformers.T5Config:
    return transformers.T5Config(
        vocab_size=len(t5_words()) + 8,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )


def make_network(name: str, **config: object) -> nn.Module:
    """A network of diffusers with random weights that are always the same."""
    return random_network(getattr(diffusers, name), **config)


def random_network(network: Callable[..., nn.Module], *args: object, **config: object) -> nn.Module:
    """A network with random weights that are always the same."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return network(*args, **config).eval()


def make_scheduler(name: str, **config: object) -> object:
    """A scheduler of diffusers."""
    built: object = getattr(diffusers, name)(**config)
    return built


def save_pipeline(folder: Path, pipeline: str, **parts: object) -> Path:
    """Save a pipeline of these components, and return the folder."""
    getattr(diffusers, pipeline)(**parts).save_pretrained(folder, safe_serialization=True)
    return folder
