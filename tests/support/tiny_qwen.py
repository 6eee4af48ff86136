"""Tiny Qwen-Image and Z-Image checkpoints.

Each `save_*` writes one into a folder and returns the folder.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from torch import nn

from tests.support.tiny_networks import (
    make_network,
    make_scheduler,
    random_network,
    save_pipeline,
    tiny_vae,
)
from tests.support.tiny_tokenizers import (
    qwen_tokenizer,
)

_WIDTH = 16


_VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def save_qwen(folder: Path) -> Path:
    """Qwen-Image: guidance by a negative prompt, an autoencoder of films."""
    return save_pipeline(folder, "QwenImagePipeline", **_qwen_parts())


def save_qwen_edit(folder: Path) -> Path:
    """Qwen-Image-Edit as far as it can be made without torchvision: its processor is empty."""
    save_qwen(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {
        "_class_name": "QwenImageEditPipeline",
        "processor": ["transformers", "Qwen2VLProcessor"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    shutil.copytree(folder / "tokenizer", folder / "processor")
    (folder / "processor/preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "Qwen2VLImageProcessor"})
    )
    return folder


def save_z_image(folder: Path) -> Path:
    """Z-Image: one transformer over words and picture."""
    transformer = make_network(
        "ZImageTransformer2DModel",
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=4,
        dim=32,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=_WIDTH,
        axes_dims=[8, 4, 4],
        axes_lens=[512, 32, 32],
    )
    tokenizer = qwen_tokenizer()
    with torch.no_grad():  # diffusers leaves these two as memory happens to be
        for token in ("x_pad_token", "cap_pad_token"):
            nn.init.zeros_(getattr(transformer, token))
    return save_pipeline(
        folder,
        "ZImagePipeline",
        transformer=transformer,
        vae=tiny_vae(shift_factor=0.06, scaling_factor=1.5),
        text_encoder=random_network(transformers.Qwen3Model, _qwen3(len(tokenizer))),
        tokenizer=tokenizer,
        scheduler=make_scheduler("FlowMatchEulerDiscreteScheduler", shift=3.0),
    )


def _qwen3(words: int) -> transformers.Qwen3Config:
    return transformers.Qwen3Config(
        vocab_size=words,
        hidden_size=_WIDTH,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=1024,
    )


def _qwen_parts() -> dict[str, object]:
    tokenizer = qwen_tokenizer(_VISION)
    number = tokenizer.convert_tokens_to_ids
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": _WIDTH,
            "intermediate_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [1, 1, 2],
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": _WIDTH,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": _WIDTH,
        },
        vision_start_token_id=number("<|vision_start|>"),
        vision_end_token_id=number("<|vision_end|>"),
        image_token_id=number("<|image_pad|>"),
        video_token_id=number("<|video_pad|>"),
    )
    transformer = make_network(
        "QwenImageTransformer2DModel",
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=_WIDTH,
        axes_dims_rope=(8, 4, 4),
    )
    vae = make_network(
        "AutoencoderKLQwenImage",
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return {
        "transformer": transformer,
        "vae": vae,
        "text_encoder": random_network(transformers.Qwen2_5_VLForConditionalGeneration, config),
        "tokenizer": tokenizer,
        "scheduler": make_scheduler("FlowMatchEulerDiscreteScheduler"),
    }
