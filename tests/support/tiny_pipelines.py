"""Tiny pixel and Stable Diffusion checkpoints.

Each `save_*` writes a complete pipeline of diffusers' real classes into a folder, safetensors only,
and returns the folder.
"""

from collections.abc import Mapping
from pathlib import Path

import transformers

from tests.support.tiny_networks import (
    STABLE_BETAS,
    make_network,
    make_scheduler,
    random_network,
    save_pipeline,
    t5_config,
    tiny_text_encoder,
    tiny_unet,
    tiny_vae,
)
from tests.support.tiny_tokenizers import clip_tokenizer, t5_tokenizer


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
    unet = make_network(
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
    schedule = make_scheduler(scheduler, prediction_type=prediction, **config)
    pipeline = "DDPMPipeline" if scheduler == "DDPMScheduler" else "DDIMPipeline"
    return save_pipeline(folder, pipeline, unet=unet, scheduler=schedule)


def save_stable(folder: Path, prediction: str = "epsilon", **config: object) -> Path:
    """Stable Diffusion 1.x with "epsilon", 2.x with "v_prediction"."""
    schedule = make_scheduler(
        "DDIMScheduler", **{**STABLE_BETAS, "prediction_type": prediction, **config}
    )
    return save_pipeline(
        folder,
        "StableDiffusionPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=clip_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
        unet=tiny_unet(),
        scheduler=schedule,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_stable_inpaint(
    folder: Path, pipeline: str = "StableDiffusionInpaintPipeline", **config: object
) -> Path:
    """Stable Diffusion 1.x for inpainting: its UNet takes a latent, a mask and another latent."""
    return save_pipeline(
        folder,
        pipeline,
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=clip_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
        unet=tiny_unet(in_channels=9),
        scheduler=make_scheduler("DDIMScheduler", **{**STABLE_BETAS, **config}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_distilled(folder: Path, scheduler: str) -> Path:
    """A Stable Diffusion 1.x that was distilled for few steps: LCM tells it the guidance, too."""
    told = {"time_cond_proj_dim": 8} if scheduler == "LCMScheduler" else {}
    return save_pipeline(
        folder,
        "StableDiffusionPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=clip_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
        unet=tiny_unet(**told),
        scheduler=make_scheduler(scheduler, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_xl(folder: Path, **config: object) -> Path:
    """Stable Diffusion XL: two text encoders, pooled embeddings and sizes as conditions."""
    words = folder.parent / f"{folder.name}-vocabulary"
    return save_pipeline(
        folder,
        "StableDiffusionXLPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        text_encoder_2=tiny_text_encoder(projected=True),
        tokenizer=clip_tokenizer(words),
        tokenizer_2=clip_tokenizer(words),
        unet=tiny_unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=make_scheduler("EulerDiscreteScheduler", **_of_euler({**STABLE_BETAS, **config})),
    )


def save_sd3(folder: Path) -> Path:
    """Stable Diffusion 3: two CLIP encoders and T5."""
    words = folder.parent / f"{folder.name}-vocabulary"
    transformer = make_network(
        "SD3Transformer2DModel",
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
    )
    return save_pipeline(
        folder,
        "StableDiffusion3Pipeline",
        transformer=transformer,
        vae=tiny_vae(16, shift_factor=0.06, scaling_factor=1.5),
        text_encoder=tiny_text_encoder(projected=True),
        text_encoder_2=tiny_text_encoder(projected=True),
        text_encoder_3=random_network(transformers.T5EncoderModel, t5_config(64)),
        tokenizer=clip_tokenizer(words),
        tokenizer_2=clip_tokenizer(words),
        tokenizer_3=t5_tokenizer(),
        scheduler=make_scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0),
    )


def save_pix2pix(folder: Path) -> Path:
    """InstructPix2Pix: the picture's latents are further channels of the UNet's input."""
    return save_pipeline(
        folder,
        "StableDiffusionInstructPix2PixPipeline",
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),
        tokenizer=clip_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
        unet=tiny_unet(in_channels=8),
        scheduler=make_scheduler("DDIMScheduler", **STABLE_BETAS),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_upscale(folder: Path) -> Path:
    """The x4 upscaler of Stable Diffusion: the small picture is part of the UNet's input."""
    blocks = 3
    vae = make_network(
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
    return save_pipeline(
        folder,
        "StableDiffusionUpscalePipeline",
        vae=vae,
        text_encoder=tiny_text_encoder(),
        tokenizer=clip_tokenizer(folder.parent / f"{folder.name}-vocabulary"),
        unet=tiny_unet(in_channels=7, sample_size=16, num_class_embeds=1000),
        low_res_scheduler=make_scheduler("DDPMScheduler"),
        scheduler=make_scheduler("DDIMScheduler", **STABLE_BETAS),
    )


def save_ldm(folder: Path) -> Path:
    """The x4 upscaler of latent diffusion: no words, no callback."""
    blocks = 3
    vqvae = make_network(
        "VQModel",
        block_out_channels=(8,) * blocks,
        down_block_types=("DownEncoderBlock2D",) * blocks,
        up_block_types=("UpDecoderBlock2D",) * blocks,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=3,
        num_vq_embeddings=16,
    )
    unet = make_network(
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
    scheduler = make_scheduler("DDIMScheduler", **STABLE_BETAS)
    return save_pipeline(
        folder, "LDMSuperResolutionPipeline", vqvae=vqvae, unet=unet, scheduler=scheduler
    )


def _of_euler(config: Mapping[str, object]) -> dict[str, object]:
    """What EulerDiscreteScheduler knows of a DDIM configuration."""
    return {k: v for k, v in config.items() if k not in ("clip_sample", "set_alpha_to_one")}
