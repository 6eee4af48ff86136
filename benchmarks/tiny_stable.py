"""A small Stable Diffusion with random weights, made on the spot: nothing is downloaded.

Its networks are diffusers' and transformers' real classes. It shows no quality.
"""

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

_START, _END = "<|startoftext|>", "<|endoftext|>"


def save_tiny_stable(folder: Path, size_px: int = 256, width: int = 32) -> Path:
    """Save a small Stable Diffusion 1.x.

    Args:
        folder: A folder to be made.
        size_px: Side of the pictures that it makes.
        width: Features of the finest resolution of its networks, a multiple of 32.

    Returns:
        The folder.
    """
    libraries: Any = diffusers  # untyped
    tokenizer = _tokenizer(folder.parent / f"{folder.name}-vocabulary")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        unet = libraries.UNet2DConditionModel(
            sample_size=size_px // 8,
            layers_per_block=1,
            block_out_channels=(width, 2 * width),
            attention_head_dim=8,
            cross_attention_dim=64,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
        vae = libraries.AutoencoderKL(
            block_out_channels=(32,) * 4,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            sample_size=size_px,
        )
        text_encoder = transformers.CLIPTextModel(
            transformers.CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=64,
                intermediate_size=128,
                num_attention_heads=4,
                num_hidden_layers=4,
                max_position_embeddings=77,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    scheduler = libraries.DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    pipeline = libraries.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def _tokenizer(folder: Path) -> Any:  # noqa: ANN401  transformers is untyped
    """A CLIP tokenizer of single bytes."""
    folder.mkdir(parents=True)
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    moved = iter(range(256, 512))
    letters = [chr(byte if byte in printable else next(moved)) for byte in range(256)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), _START, _END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
    return transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=77)
