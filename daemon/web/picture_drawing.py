"""Draws parts of pictures: in the picture process, which alone decodes anything for the page."""

import io
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

from PIL import Image

from daemon.photo import Limits, Photo, read_header
from daemon.photo.reading import read_picture, to_eight_bits
from daemon.system.errors import PhotoError
from daemon.web.picture_questions import Answer, Drawn, NotDrawn, PictureQuestion

_KEPT_PIXELS = 200_000_000
"""Pixels of decoded pictures that are kept for the next question, about a zoomed picture."""

_QUALITY = 88


class PictureDrawer:
    """Decoded pictures, the last ones used."""

    def __init__(self, limits: Limits) -> None:
        most = max(limits.max_input_megapixels, limits.max_output_megapixels)
        self._limits = replace(limits, max_input_megapixels=most)
        self._kept: OrderedDict[tuple[Path, tuple[int, int]], Image.Image] = OrderedDict()

    def answer(self, question: PictureQuestion) -> Answer:
        """Draw; whatever a file does to its reader is an answer."""
        try:
            return self._draw(question)
        except PhotoError as error:
            return NotDrawn(str(error))
        except OSError as error:
            return NotDrawn(error.strerror or str(error))
        except Exception as error:
            return NotDrawn(f"{type(error).__name__}: {error}")

    def _draw(self, question: PictureQuestion) -> Drawn:
        whole = self._decoded(question)
        left, top, right, bottom = question.box
        box = (
            *(round(left * whole.width), round(top * whole.height)),
            *(round(right * whole.width), round(bottom * whole.height)),
        )
        across, down = max(1, box[2] - box[0]), max(1, box[3] - box[1])
        scale = min(1.0, question.size[0] / across, question.size[1] / down)
        size = max(1, round(across * scale)), max(1, round(down * scale))
        part = whole.resize(size, Image.Resampling.LANCZOS if scale < 1 else None, box, 3.0)
        file = io.BytesIO()
        if question.lossless:
            part.save(file, "PNG", compress_level=3)
        else:
            part.save(file, "JPEG", quality=_QUALITY, subsampling=0)
        kind = "image/png" if question.lossless else "image/jpeg"
        return Drawn(file.getvalue(), kind, whole.width, whole.height)

    def _decoded(self, question: PictureQuestion) -> Image.Image:
        key = (question.path, question.version)
        kept = self._kept.pop(key, None)
        if kept is None:
            header = read_header(
                question.path, self._limits, name=question.name, beneath=question.beneath
            )
            photo = Photo(*(question.path, question.name, "", header), beneath=question.beneath)
            picture = read_picture(photo, self._limits)
            kept = Image.fromarray(to_eight_bits(picture.pixels)).convert("RGB")
            if picture.alpha is not None:
                paper = Image.new("RGB", kept.size, "white")
                paper.paste(kept, mask=Image.fromarray(to_eight_bits(picture.alpha)))
                kept = paper
        self._kept[key] = kept
        while len(self._kept) > 1 and self._pixels() > _KEPT_PIXELS:
            self._kept.popitem(last=False)
        return kept

    def _pixels(self) -> int:
        return sum(picture.width * picture.height for picture in self._kept.values())
