"""A tiny CLIP model with random weights, saved as transformers saves one."""

from pathlib import Path

import torch
import transformers

from tests.support.tiny_tokenizers import clip_tokenizer

SIDE = 32


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save it, and say where."""
    tokenizer = clip_tokenizer(folder.parent / f"{folder.name}-vocabulary")
    count = len(tokenizer)  # type: ignore[arg-type]
    tokenizer.save_pretrained(folder)  # type: ignore[attr-defined]
    width = {"hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4}
    config = transformers.CLIPConfig(
        text_config={
            **width,
            "vocab_size": count,
            "num_hidden_layers": 2,
            "bos_token_id": count - 2,
            "eos_token_id": count - 1,
            "pad_token_id": count - 1,
        },
        vision_config={**width, "num_hidden_layers": 2, "image_size": SIDE, "patch_size": 8},
        projection_dim=16,
    )
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        transformers.CLIPModel(config).save_pretrained(folder, safe_serialization=True)
    return folder
