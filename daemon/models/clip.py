"""CLIP models: pictures scored against phrases, for a recipe's `looks_like`.

Runs in float32 throughout: CLIP is small beside a denoiser.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer

from daemon.checkpoints.traits import read_config
from daemon.models.calls import ClipCall
from daemon.models.loading import load_transformers_network
from daemon.models.registry import Placement
from daemon.models.transfers import download
from daemon.system.errors import ConfigError
from daemon.system.files import shown

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of OpenAI's CLIP over RGB in [0, 1], for checkpoints without a
preprocessor_config.json."""


class Clip:
    """A CLIP model on one device.

    Pictures are preprocessed here: transformers' own classes for that need torchvision in some
    versions and have another name in others.

    Args:
        placement: The checkpoint and its device.

    Raises:
        ConfigError: The checkpoint is incomplete or damaged.
    """

    def __init__(self, placement: Placement) -> None:
        folder = placement.checkpoint.folder
        self._device = torch.device(placement.device)
        model: Any = load_transformers_network(placement.checkpoint, "", "CLIPModel", torch.float32)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            name = placement.checkpoint.reference
            raise ConfigError(f"model {name}: cannot be loaded: {error}") from error
        self._model = model.eval().to(self._device)
        self._side_px = int(self._model.config.vision_config.image_size)
        file = folder / "preprocessor_config.json"
        config = read_config(file) if file.is_file() else {}
        self._mean = _levels(config, "image_mean", _MEAN, file)
        self._std = _levels(config, "image_std", _STD, file)

    def predict(self, calls: Sequence[ClipCall]) -> list[Tensor]:
        """Logits of the phrases for each picture.

        Args:
            calls: Pictures of any size; all have the same N phrases.

        Returns:
            Each (N,), float32, on the CPU, in the order of the calls.
        """
        phrases = self._tokenizer(
            list(calls[0].phrases), padding=True, truncation=True, return_tensors="pt"
        )
        pixels = torch.stack([self._preprocess(call.image) for call in calls])
        with torch.inference_mode():
            output = self._model(
                input_ids=phrases["input_ids"].to(self._device),
                attention_mask=phrases["attention_mask"].to(self._device),
                pixel_values=pixels.to(self._device),
            )
        return list(download(output.logits_per_image.float()).unbind(0))

    def _preprocess(self, image: Tensor) -> Tensor:
        """The central square of a picture, at the side that the model sees, normalised."""
        codes = ((image + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0)
        levels = download(codes).numpy()
        height, width = levels.shape[:2]
        side = self._side_px
        scale = side / min(height, width)
        size = (max(side, round(width * scale)), max(side, round(height * scale)))
        resized = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - side) // 2, (size[1] - side) // 2
        square = resized.crop((left, top, left + side, top + side))
        pixels = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1) / 255
        return (pixels - self._mean) / self._std


def _levels(config: Mapping[str, Any], key: str, default: tuple[float, ...], file: Path) -> Tensor:
    """Three numbers of a configuration, one for each of R, G and B, (3, 1, 1).

    Raises:
        ConfigError: They are no such numbers; of "image_std", that are above 0.
    """
    found = config.get(key, default)
    least = 0.0 if key == "image_std" else -math.inf
    numbers = found if isinstance(found, list | tuple) else ()
    good = [n for n in numbers if isinstance(n, int | float) and least < n < math.inf]
    if len(good) != len(numbers) or len(good) != len(default):
        above = " above 0" if key == "image_std" else ""
        shown_value = repr(found)[:80]
        raise ConfigError(
            f"{shown(file)}: {key} is {shown_value}; it must be three numbers{above}, one for each "
            "of red, green and blue; pull the model again, or remove the file for CLIP's own ones"
        )
    return torch.tensor(good, dtype=torch.float32)[:, None, None]
