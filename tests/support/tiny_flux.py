"""Tiny FLUX checkpoints; each `save_*` writes one into a folder and returns the folder."""

from pathlib import Path

import transformers

from tests.support.tiny_networks import (
    make_network,
    make_scheduler,
    random_network,
    save_pipeline,
    t5_config,
    tiny_text_encoder,
    tiny_vae,
)
from tests.support.tiny_tokenizers import clip_tokenizer, qwen_letters, qwen_tokenizer, t5_tokenizer


def save_flux(folder: Path) -> Path:
    """FLUX.1: CLIP and T5, packed latents, a schedule that is shifted by the size."""
    return save_pipeline(folder, "FluxPipeline", **flux_parts(folder))


def save_fill(folder: Path) -> Path:
    """FLUX.1 Fill: the mask and the latents of what lies outside of it are further inputs."""
    return save_pipeline(folder, "FluxFillPipeline", **flux_parts(folder, fills=True))


def save_kontext(folder: Path) -> Path:
    """FLUX.1 Kontext, which edits a picture by instruction."""
    return save_pipeline(folder, "FluxKontextPipeline", **flux_parts(folder))


def save_klein(folder: Path) -> Path:
    """FLUX.2 klein, which edits a picture by instruction."""
    layers, width = 28, 16
    config = transformers.Qwen3Config(
        vocab_size=len(qwen_letters()) + 3,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
    )
    transformer = make_network(
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
    vae = make_network(
        "AutoencoderKLFlux2",
        block_out_channels=(8,) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    return save_pipeline(
        folder,
        "Flux2KleinPipeline",
        transformer=transformer,
        vae=vae,
        text_encoder=random_network(transformers.Qwen3ForCausalLM, config),
        tokenizer=qwen_tokenizer(),
        scheduler=make_scheduler("FlowMatchEulerDiscreteScheduler"),
        is_distilled=True,
    )


def flux_parts(folder: Path, *, fills: bool = False) -> dict[str, object]:
    """The components of FLUX.1; vocabularies are written beside the folder."""
    # Packed by 2 x 2: latents of one channel, twice, and a mask of 8 x 8 pixels for each element.
    inputs = 4 + 4 + 4 * 64 if fills else 4
    transformer = make_network(
        "FluxTransformer2DModel",
        patch_size=1,
        in_channels=inputs,
        out_channels=4,
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
        "text_encoder_2": random_network(transformers.T5EncoderModel, t5_config()),
        "tokenizer": clip_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
        "tokenizer_2": t5_tokenizer(),
        "scheduler": make_scheduler("FlowMatchEulerDiscreteScheduler", use_dynamic_shifting=True),
    }
