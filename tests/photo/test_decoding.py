"""Headers, limits and digests of files, and errors that say who is at fault."""

import io
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from PIL import Image

from daemon.photo import Limits, Picture, read_header, verify_file
from daemon.photo.decoded import Decoded
from daemon.photo.decoders import pillow
from daemon.photo.reading import read_picture
from daemon.photo.writing import write_animation, write_picture
from daemon.system.errors import CannotWriteError, PhotoError, TruncatedError
from tests.support.photos import PNG, cat, encoded, photo_at, read


def test_importing_the_package_imports_neither_pillow_nor_numpy() -> None:
    code = "import sys, daemon.photo; print(*{'PIL', 'numpy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", [b"caf\xe9\xff.png", b"n" * 251 + b".png", "Ä ö\n.png".encode()])
def test_a_name_may_be_any_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    Image.fromarray(cat()).save(path, "PNG")
    assert np.array_equal(read(path).pixels, cat())
    path.write_bytes(b"no picture at all")
    with pytest.raises(PhotoError) as caught:
        read_header(path, Limits())
    str(caught.value).encode()


def test_limits_name_the_setting_that_raises_them(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.fromarray(cat()).save(path)
    with pytest.raises(PhotoError, match=r"cat.png: 60x40 are 0.0 megapixels.*max_input_megapix"):
        read_header(path, Limits(max_input_megapixels=0.002))
    with pytest.raises(
        PhotoError, match=r"cat.png: 0.0 MB; allowed: at most 0.001 MB.*max_file_mb"
    ):
        read_header(path, Limits(max_file_mb=0.001))
    photo = photo_at(path)
    with pytest.raises(PhotoError, match="max_input_megapixels"):
        read_picture(photo, Limits(max_input_megapixels=0.002))


def test_an_error_tells_the_photograph_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.fromarray(cat()).save(path)
    with pytest.raises(PhotoError) as caught:
        read_header(path, Limits(max_file_mb=0.001), name="denoise/cat.png")
    assert caught.value.photo == "denoise/cat.png"
    assert caught.value.why == "0.0 MB; allowed: at most 0.001 MB"
    assert caught.value.remedy == "raise the setting max_file_mb"
    with pytest.raises(PhotoError) as caught:
        read_header(path, Limits(max_input_megapixels=0.002))
    assert caught.value.why == "60x40 are 0.0 megapixels; allowed: at most 0.002"
    assert caught.value.remedy == "raise the setting max_input_megapixels"
    path.write_bytes(b"Dear photographer,")
    with pytest.raises(PhotoError) as caught:
        read_header(path, Limits())
    assert (caught.value.photo, caught.value.remedy) == ("cat.png", "")
    assert caught.value.why.startswith("starts with b'Dear pho' and is not a readable JPEG")


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(path)
    with pytest.raises(PhotoError, match=r"bomb.png: 20000x20000 are 400.0 megapixels; allowed"):
        read_header(path, Limits())
    for format in ("GIF", "WEBP", "BMP", "TIFF"):
        file = io.BytesIO()
        Image.new("RGB", (300, 300)).save(file, format)
        path.write_bytes(file.getvalue())
        with pytest.raises(PhotoError, match=r"allowed: at most 0.08; raise the setting max_input"):
            read_header(path, Limits(max_input_megapixels=0.08))


def test_a_200_megapixel_photograph_is_within_the_default_limits(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("1", (20000, 10000)).save(path)
    assert read_header(path, Limits()).megapixels == 200


def test_a_file_that_is_no_picture_is_refused_with_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    for content, message in (
        (b"", "0 bytes"),
        (b"Dear photographer,", "Dear pho"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "<svg xml"),
        (b"AT&TFORM and so on and on", "AT&TFORM"),
        (b"gimp xcf file", "gimp xcf"),
    ):
        path.write_bytes(content)
        with pytest.raises(PhotoError, match=r"^letter.jpg: ") as caught:
            read_header(path, Limits())
        assert message in str(caught.value)
        assert not isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b"AT&TFORM....DJVU", "is a DjVu document, which is not read; export its pages as TIFF"),
        (b"\0\0\1\0\1\0 ", "is an icon, which is not read; convert it to PNG and hand that in"),
        (b"DDS |\0\0\0", "is a texture (DDS), which is not read; convert it to PNG"),
        (
            b"%!PS-Adobe-3.0",
            "is a PostScript document, which is not read; export its pages as TIFF",
        ),
        (b"SIMPLE  =    T", "is a FITS picture, which is not read; convert it to TIFF"),
        (b"II\xbc\x01" + bytes(60), "is a JPEG XR picture, which is not read; convert it"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "is a film, which is not read; export a frame"),
    ],
)
def test_a_kind_that_is_not_read_is_named_with_what_helps(
    tmp_path: Path, start: bytes, message: str
) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(start)
    with pytest.raises(PhotoError) as caught:
        read_header(path, Limits())
    assert message in str(caught.value)


def test_a_missing_file_is_no_fault_of_the_photograph(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "gone.png", Limits())


def test_any_exception_of_a_decoder_is_a_photo_error(tmp_path: Path) -> None:
    path = tmp_path / "short.png"
    short = struct.pack(">I4s", 5, b"IHDR") + b"\0" * 9
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + short + encoded("PNG")[-12:])
    with pytest.raises(ValueError, match="IHDR"), Image.open(path):
        pass
    with pytest.raises(PhotoError, match=r"^short.png: "):
        read_header(path, Limits())


def test_every_frame_of_an_animation_is_verified_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Picture(np.roll(cat(), shift, axis=0), False, PNG) for shift in range(12)]
    path = tmp_path / "x.webp"
    write_animation(frames, path, frame_ms=100)
    pages: list[int] = []
    decode = pillow.decode

    def counted(file: BinaryIO, label: str, page: int = 0) -> Decoded:
        pages.append(page)
        return decode(file, label, page)

    monkeypatch.setattr(pillow, "decode", counted)
    verify_file(path, 60, 40)
    assert pages == [0, 11]
    content = bytearray(path.read_bytes())
    middle = [at for at in range(len(content)) if content[at : at + 4] == b"ANMF"][6]
    content[middle + 24 : middle + 60] = bytes(36)  # its own header and the first of its data
    path.write_bytes(content)
    with pytest.raises(CannotWriteError):
        verify_file(path, 60, 40)


def test_verification_refuses_a_file_that_does_not_decode_to_its_size(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    write_picture(Picture(cat(), False, PNG), path, format="png", quality=95)
    verify_file(path, 60, 40)
    with pytest.raises(CannotWriteError, match=r"x.png: decodes to 60x40 pixels, expected 60x41"):
        verify_file(path, 60, 41)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(CannotWriteError, match=r"does not decode again: x.png"):
        verify_file(path, 60, 40)
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(CannotWriteError):
        verify_file(path, 60, 40)
