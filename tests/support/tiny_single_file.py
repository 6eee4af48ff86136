"""A tiny Stable Diffusion as one file in the original layout, its configuration beside it."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
_LAYERS = 1
"""Layers per block of the tiny networks; an up block has one more."""


def save_single_file(stable: Path, file: Path) -> Path:
    """Write the weights of a tiny Stable Diffusion 1.x into one file, and say where.

    Args:
        stable: Its folder, as `tiny_pipelines.save_stable` writes it.
        file: Gets the weights; the folder of the same name gets everything else.
    """
    part = "diffusion_pytorch_model.safetensors"
    unet, vae = (load_file(stable / name / part) for name in ("unet", "vae"))
    text = load_file(stable / "text_encoder/model.safetensors")
    whole = {f"model.diffusion_model.{_of_unet(key)}": value for key, value in unet.items()}
    whole |= {f"first_stage_model.{_of_vae(key, vae)}": _conv(key, v) for key, v in vae.items()}
    whole |= {f"cond_stage_model.transformer.text_model.{key}": v for key, v in text.items()}
    save_file({key: value.contiguous() for key, value in whole.items()}, file)
    ignore = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(stable, file.with_suffix(""), ignore=ignore)
    return file


def _of_unet(key: str) -> str:
    name, kind = key.rsplit(".", 1)
    if name in _UNET_ENDS:
        return f"{_UNET_ENDS[name]}.{kind}"
    side, *rest = key.split(".")
    if side == "mid_block":
        part, number, *rest = rest
        place = f"middle_block.{2 * int(number) if part == 'resnets' else 1}"
        return f"{place}.{_of_layer(part, rest)}"
    block, part, number, *rest = rest
    if side == "down_blocks":
        first = 1 + int(block) * (_LAYERS + 1)
        if part == "downsamplers":
            return f"input_blocks.{first + _LAYERS}.0.op.{kind}"
        return f"input_blocks.{first + int(number)}.{_slot(part)}.{_of_layer(part, rest)}"
    first = int(block) * (_LAYERS + 1)
    if part == "upsamplers":
        return f"output_blocks.{first + _LAYERS}.2.conv.{kind}"
    return f"output_blocks.{first + int(number)}.{_slot(part)}.{_of_layer(part, rest)}"


def _slot(part: str) -> int:
    return 1 if part == "attentions" else 0


def _of_layer(part: str, rest: list[str]) -> str:
    if part == "resnets":
        rest = [_RESNET[rest[0]], *rest[1:]]
    return ".".join(rest)


def _of_vae(key: str, vae: Mapping[str, Tensor]) -> str:
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = key.replace("mid_block.resnets.0", "mid.block_1").replace(
        "mid_block.resnets.1", "mid.block_2"
    )
    if "mid_block.attentions.0" in key:
        side, _, _, _, name, kind = key.replace("to_out.0", "to_out_0").split(".")
        return f"{side}.mid.attn_1.{_ATTENTION[name.replace('_0', '.0')]}.{kind}"
    parts = key.split(".")
    if parts[1] in ("down_blocks", "up_blocks"):
        blocks = len({k.split(".")[2] for k in vae if k.startswith(f"{parts[0]}.{parts[1]}")})
        up = parts[1] == "up_blocks"
        number = blocks - 1 - int(parts[2]) if up else int(parts[2])
        sampler = "upsample" if up else "downsample"
        named = {"resnets": f"block.{parts[4]}"}.get(parts[3], sampler)
        return ".".join((parts[0], "up" if up else "down", str(number), named, *parts[5:]))
    return key


def _conv(key: str, value: Tensor) -> Tensor:
    """Attention of the original is made of convolutions with 1 x 1."""
    linear = "attentions" in key and value.ndim == 2
    return value[:, :, None, None] if linear else value
