"""A CLIP model at work: pictures and phrases go in, logits come out.

Loaded only where a recipe says `looks_like`. In float32 throughout: it is small beside a denoiser.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoTokenizer

from daemon.models.calls import ClipCall
from daemon.models.loading import load_encoder
from daemon.models.registry import Placement
from daemon.system.errors import ConfigError

_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of OpenAI's CLIP, for folders without preprocessor_config.json."""


class Clip:
    """A CLIP model on one device.

    The pictures are prepared here: transformers' own classes for that need torchvision in some
    versions and have another name in others.

    Args:
        placement: Which, and where.

    Raises:
        ConfigError: The folder is incomplete or damaged.
    """

    def __init__(self, placement: Placement) -> None:
        folder = placement.checkpoint.folder
        self._device = torch.device(placement.device)
        model: Any = load_encoder(placement.checkpoint, "", "CLIPModel", torch.float32)
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            name = placement.checkpoint.reference
            raise ConfigError(f"model {name}: cannot be loaded: {error}") from error
        self._model = model.eval().to(self._device)
        self._side = int(self._model.config.vision_config.image_size)
        file = folder / "preprocessor_config.json"
        said = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        self._mean = torch.tensor(said.get("image_mean", _MEAN))[:, None, None]
        self._deviation = torch.tensor(said.get("image_std", _DEVIATION))[:, None, None]

    def predict(self, calls: Sequence[ClipCall]) -> list[Tensor]:
        """Logits of the calls' phrases, which are the same in all of them; each (N,)."""
        words = self._tokenizer(
            list(calls[0].phrases), padding=True, truncation=True, return_tensors="pt"
        )
        pixels = torch.stack([self._prepared(call.image) for call in calls])
        with torch.inference_mode():
            seen = self._model(
                input_ids=words["input_ids"].to(self._device),
                attention_mask=words["attention_mask"].to(self._device),
                pixel_values=pixels.to(self._device),
            )
        return list(seen.logits_per_image.float().cpu().unbind(0))

    def _prepared(self, image: Tensor) -> Tensor:
        """The middle square, at the side the model sees, normalised."""
        levels = ((image + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        height, width = levels.shape[:2]
        scale = self._side / min(height, width)
        size = (max(self._side, round(width * scale)), max(self._side, round(height * scale)))
        whole = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
        left, top = (size[0] - self._side) // 2, (size[1] - self._side) // 2
        square = whole.crop((left, top, left + self._side, top + self._side))
        pixels = torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1) / 255
        return (pixels - self._mean) / self._deviation
