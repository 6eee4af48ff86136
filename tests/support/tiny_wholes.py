"""Tiny pipelines that are only ever called whole: random weights, diffusers' real classes.

As in `tiny_pipelines`, each `save_*` writes a folder and returns it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from tests.support.tiny_pipelines import (
    STABLE_BETAS,
    made,
    saved,
    seeded,
    tiny_text_encoder,
    tiny_tokenizer,
    tiny_unet,
    tiny_vae,
)

_WORDS = ("a", "photo", "of", "the", "cat", "red", "blue", "old")


def save_sd3(folder: Path) -> Path:
    """Stable Diffusion 3: two CLIP encoders and T5."""
    words = folder.parent / f"{folder.name}-words"
    transformer = seeded(
        "SD3Transformer2DModel",
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
    )
    return saved(
        folder,
        "StableDiffusion3Pipeline",
        transformer=transformer,
        vae=tiny_vae(shift_factor=0.06, scaling_factor=1.5),
        text_encoder=tiny_text_encoder(projected=True),
        text_encoder_2=tiny_text_encoder(projected=True),
        text_encoder_3=random_network(transformers.T5EncoderModel, _t5_config(64)),
        tokenizer=tiny_tokenizer(words),
        tokenizer_2=tiny_tokenizer(words),
        tokenizer_3=_t5_tokenizer(),
        scheduler=made("FlowMatchEulerDiscreteScheduler", shift=3.0),
    )


def save_flux(folder: Path) -> Path:
    """FLUX.1: CLIP and T5, packed latents, a schedule that is shifted by the size."""
    return saved(folder, "FluxPipeline", **flux_parts(folder))


def flux_parts(folder: Path) -> dict[str, object]:
    """The components of FLUX.1; vocabularies are written beside the folder."""
    transformer = seeded(
        "FluxTransformer2DModel",
        patch_size=1,
        in_channels=4,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    return {
        "transformer": transformer,
        "vae": tiny_vae(1, shift_factor=0.06, scaling_factor=1.5),
        "text_encoder": tiny_text_encoder(),
        "text_encoder_2": random_network(transformers.T5EncoderModel, _t5_config()),
        "tokenizer": tiny_tokenizer(folder.parent / f"{folder.name}-words"),
        "tokenizer_2": _t5_tokenizer(),
        "scheduler": made("FlowMatchEulerDiscreteScheduler", use_dynamic_shifting=True),
    }


def save_klein(folder: Path) -> Path:
    """FLUX.2 klein, which edits a picture by instruction."""
    layers, width = 28, 16
    config = transformers.Qwen3Config(
        vocab_size=len(_letters()) + 3,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
    )
    transformer = seeded(
        "Flux2Transformer2DModel",
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * width,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    vae = seeded(
        "AutoencoderKLFlux2",
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    return saved(
        folder,
        "Flux2KleinPipeline",
        transformer=transformer,
        vae=vae,
        text_encoder=random_network(transformers.Qwen3ForCausalLM, config),
        tokenizer=qwen_tokenizer(),
        scheduler=made("FlowMatchEulerDiscreteScheduler"),
        is_distilled=True,
    )


def save_pix2pix(folder: Path) -> Path:
    """InstructPix2Pix: the picture's latents are further channels of the UNet's input."""
    return saved(
        folder,
        "StableDiffusionInstructPix2PixPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=tiny_tokenizer(folder.parent / f"{folder.name}-words"),
        unet=tiny_unet(in_channels=8),
        scheduler=made("DDIMScheduler", **STABLE_BETAS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_upscale(folder: Path) -> Path:
    """The x4 upscaler of Stable Diffusion: the small picture is part of the UNet's input."""
    blocks = 3
    vae = seeded(
        "AutoencoderKL",
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=64,
        scaling_factor=0.08333,
    )
    return saved(
        folder,
        "StableDiffusionUpscalePipeline",
        vae=vae,
        text_encoder=tiny_text_encoder(),
        tokenizer=tiny_tokenizer(folder.parent / f"{folder.name}-words"),
        unet=tiny_unet(in_channels=7, sample_size=16, num_class_embeds=1000),
        low_res_scheduler=made("DDPMScheduler"),
        scheduler=made("DDIMScheduler", **STABLE_BETAS),
    )


def save_ldm(folder: Path) -> Path:
    """The x4 upscaler of latent diffusion: no words, no callback."""
    blocks = 3
    vqvae = seeded(
        "VQModel",
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=3,
        num_vq_embeddings=16,
    )
    unet = seeded(
        "UNet2DModel",
        sample_size=16,
        in_channels=6,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    scheduler = made("DDIMScheduler", **STABLE_BETAS)
    return saved(folder, "LDMSuperResolutionPipeline", vqvae=vqvae, unet=unet, scheduler=scheduler)


def _t5_config(width: int = 32) -> transformers.T5Config:
    return transformers.T5Config(
        vocab_size=len(_t5_words()) + 8,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )


def _t5_words() -> list[tuple[str, float]]:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    return [*special, *letters, *((f"▁{word}", -3.0) for word in _WORDS)]


def _t5_tokenizer() -> object:
    tokenizer: Callable[..., object] = transformers.T5Tokenizer
    return tokenizer(vocab=_t5_words(), extra_ids=0, model_max_length=512)


def _letters() -> list[str]:
    return [chr(number) for number in range(33, 127)] + ["Ġ", "Ċ"]


def qwen_tokenizer(more: Sequence[str] = ()) -> Any:  # noqa: ANN401  transformers is untyped
    """A tokenizer of letters, with Qwen's special tokens and some more."""
    vocabulary = {letter: number for number, letter in enumerate(_letters())}
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *more)
    for token in special:
        vocabulary[token] = len(vocabulary)
    tokenizer: Any = transformers.Qwen2Tokenizer(
        vocab=vocabulary, merges=[], additional_special_tokens=list(special)
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    )
    return tokenizer


def random_network(kind: Callable[..., nn.Module], config: object) -> nn.Module:
    """A network of transformers with random weights that are always the same."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return kind(config).eval()
