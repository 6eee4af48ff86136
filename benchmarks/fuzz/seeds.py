"""Small inputs to begin with, made here: pictures of every kind, and texts."""

import io
import json
import struct
from functools import cache
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from PIL import Image, PngImagePlugin

from benchmarks.fuzz.mutations import with_chunks

MAX_BYTES = 4096
"""Longest input."""


@cache
def pictures() -> tuple[bytes, ...]:
    """A small picture of every kind that is read."""
    made = [*_jpegs(), *_pngs(), *_webps(), *_tiffs(), *_avifs(), *_others()]
    made += [*_jpegxls(), *_jpeg2000s(), *_pnms(), *_psds()]
    made += [_saved(_rgb(), "PDF"), _openexr()]
    made.append(bytes(imagecodecs.rgbe_encode(_levels(8, 8, 3).astype(np.float32) / 255)))
    return tuple(content for content in made if len(content) <= MAX_BYTES)


def requests() -> list[bytes]:
    """A request of each kind, and of each older kind."""
    rest = json.dumps({"recipe": "a", "roots": ["/x"], "at": 1.0, "starts_at": 0.0})
    return _json_texts(
        {"kind": "retry", "paths": ["/x/a.jpg", "/x/b.jpg"]},
        {"kind": "redo", "rows": [1, 2]},
        {"kind": "bulk_submit", "name": "a", "recipe": "b", "roots": ["/x"], "at": 1.0},
        {"kind": "bulk_pause", "name": "a"},
        {"kind": "bulk_resume", "name": "a"},
        {"kind": "bulk_cancel", "name": "a"},
        {"kind": "bulk_retry", "name": "a", "at": 1.0},
        ["/x/a.jpg"],
        [1, 2],
        ["submit", "a", rest],
        ["retry", "a", rest],
        ["pause", "a", "{}"],
    )


def records() -> list[bytes]:
    """What the project writes and reads again: reasons, answers, states, times of jobs, digests."""
    photo = {"role": "photo", "file": "a.jpg", "sha256": "0", "width": 8, "height": 6}
    timing = {"decode_s": 0.1, "encode_s": 0.1, "restore_s": 1.0, "device_s": 1.0, "calls": 2}
    file = {"name": "a", "size": 1, "mtime_ns": 1, "sha256": "0"}
    return _json_texts(
        {"photos": ["a.jpg"], "recipe": "a", "why": "x", "origin": "/x/a.jpg", "attempts": 1},
        {"state": "taken", "reason": ""},
        {"models": ["builtin:prior"]},
        {"what": "x", "since": 1.0},
        {"/x": "/", "/y": "/"},
        {"inputs": [photo], "timing": timing, "recipe_digest": "0", "models": {}, "device": "cpu"},
        {"files": [file]},
        {"main": "0"},
    )


def checkpoints() -> list[bytes]:
    """Configurations of checkpoints: index, network, autoencoder, scheduler and a header."""
    sd = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    unet = {"in_channels": 4, "out_channels": 4, "sample_size": 64, "block_out_channels": [1, 2]}
    vae = {"latent_channels": 4, "block_out_channels": [1, 2, 4, 8]}
    scheduler = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon"}
    tensors = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {}}
    pixel = {"_class_name": "UNet2DModel", "in_channels": 3, "sample_size": [32, 32]}
    edit = {"_class_name": "FluxKontextPipeline"}
    texts: tuple[tuple[object, ...], ...] = (
        (sd, unet, vae, scheduler, tensors),
        (pixel, {}, {}, scheduler, tensors),
        (edit, {"in_channels": 64}, {"dim_mult": [1, 2, 4]}, {}, {}),
        ({"model_type": "clip"}, {}, {}, {}, {}),
    )
    return [b"\0".join(_json_texts(*parts)) for parts in texts]


def prompts() -> list[bytes]:
    """Prompt files, as text and as TOML."""
    return [
        b"a boat\n# a comment\n\nthe sea\n",
        b"\xef\xbb\xbfa boat\r\n",
        b'prompt = "a boat"\nnegative = "x"\nsize = [512, 512]\nseed = 3\ncount = 2\n',
        b"prompt = '''a\nboat'''\n",
    ]


def recipes() -> list[bytes]:
    """Recipes with most kinds of steps and keys."""
    head = (
        '[match]\nsuffixes = [".jpg"]\nnames = ["a*", "[ab]?"]\nmin_megapixels = 0.1\n'
        'grey = true\nnoise_above = 3\nlooks_like = "a face"\nunlike = ["a dog"]\n'
        '[schedule]\nwindow = "22:00-06:00"\ndays = ["mon"]\ncron = "0 20 * * fri"\n'
        'timezone = "Europe/Berlin"\npriority = 1\nweight = 2\n'
        '[output]\nformat = "jpeg"\nquality = 90\ndepth = 8\nprofile = "srgb"\n'
    )
    kinds = (
        'kind = "denoise"\nsigma = 10\n[[steps]]\nkind = "super-resolve"\nscale = 2\n',
        'kind = "restyle"\nprompt = "x"\nstrength = 0.5\nmodel = "./m"\n',
        'kind = "colorize"\nhints = true\n',
        'kind = "inpaint"\nfind = true\n',
        'kind = "interpolate"\nframes = 5\n',
        'kind = "generate"\nmodel = "org/name"\nsize = [512, 512]\n',
    )
    made = [f'about = "x"\n{head}[[steps]]\n{kind}' for kind in kinds[:-1]]
    made += [f"[[steps]]\n{kind}" for kind in kinds]
    return [text.encode() for text in made]


def settings() -> list[bytes]:
    """Settings of most types."""
    return [
        b'device = "cpu"\nmax_file_mb = 10\nstall_s = 60\n',
        b'[[watch]]\npath = "/x"\nrecipe = "a"\noutbox = "/y"\n',
        b'clip_model = "./clip"\nnotify = ["json://localhost"]\nstate_dir = "/x"\n',
    ]


def names() -> list[bytes]:
    """Names of files that belong together, one a line."""
    return [
        b"a.jpg\na.mask.png\na.jpg.hints.png\na.xmp\na.jpg.json\na.jpg(1).json\na.mov",
        b"x-a.jpg\nX-B.jpg\nx_1.tif\nx_2.png\nx-1.jpg\nx-2.jpg",
        "é.jpg\ne\u0301.mask.png\nIMG.jpg.supplemental-meta.json".encode(),
        b"\xff.jpg\n.hidden\n..\n" + b"n" * 260 + b".jpg",
    ]


def _json_texts(*contents: object) -> list[bytes]:
    return [json.dumps(content).encode() for content in contents]


def _levels(
    *shape: int, dtype: type[np.generic] = np.uint8
) -> np.ndarray[tuple[int, ...], np.dtype]:
    levels = np.random.default_rng(0).integers(0, 256, shape)
    return levels.astype(dtype)


def _saved(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _rgb() -> Image.Image:
    return Image.fromarray(_levels(6, 8, 3))


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "x", 72.0
    exif[0x8769] = {0x9003: "2026:01:01 00:00:00", 0xA001: 2, 0xA002: 8, 0xA003: 6}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes()


_XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def _jpegs() -> list[bytes]:
    rgb = _rgb()
    deep = _levels(8, 8, dtype=np.uint16)
    return [
        _saved(rgb, "JPEG"),
        _saved(rgb, "JPEG", progressive=True, exif=_exif(), xmp=_XMP, dpi=(300, 300)),
        _saved(rgb.convert("L"), "JPEG", exif=_exif(), comment=b"x"),
        _saved(rgb.convert("CMYK"), "JPEG"),
        _saved(rgb, "JPEG", restart_marker_blocks=1),
        _saved(rgb, "MPO", save_all=True, append_images=[rgb]),
        bytes(imagecodecs.jpeg8_encode(deep, bitspersample=12)),
        bytes(imagecodecs.ljpeg_encode(deep, bitspersample=12)),
    ]


def _pngs() -> list[bytes]:
    rgb = _rgb()
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", _XMP.decode())
    chromaticities = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    plain = _saved(rgb, "PNG")
    colours = ((b"cHRM", chromaticities), (b"gAMA", struct.pack(">I", 45455)))
    return [
        plain,
        _saved(rgb, "PNG", exif=_exif(), pnginfo=info, dpi=(72, 72)),
        _saved(rgb.convert("P"), "PNG", transparency=3),
        _saved(rgb.convert("1"), "PNG"),
        _saved(rgb.convert("RGBA"), "PNG", save_all=True, append_images=[rgb.convert("RGBA")]),
        with_chunks(plain, *colours),
        with_chunks(plain, (b"cICP", bytes((12, 13, 0, 1)))),
        with_chunks(plain, (b"iCCP", b"x\0\0" + imagecodecs.zlib_encode(_profile()))),
        bytes(imagecodecs.png_encode(_levels(6, 8, 3, dtype=np.uint16) * np.uint16(257))),
        with_chunks(
            bytes(imagecodecs.png_encode(_levels(6, 8, dtype=np.uint16))), (b"tRNS", b"\0\1")
        ),
    ]


def _profile() -> bytes:
    from daemon.photo.profiles import ADOBE_RGB_ICC

    return ADOBE_RGB_ICC


def _webps() -> list[bytes]:
    rgb = _rgb()
    return [
        _saved(rgb, "WEBP", quality=50),
        _saved(rgb, "WEBP", lossless=True),
        _saved(rgb.convert("RGBA"), "WEBP", exif=_exif(), xmp=_XMP, icc_profile=_profile()),
        _saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)]),
    ]


def _tiffs() -> list[bytes]:
    rgb, grey = _levels(16, 16, 3), _levels(16, 16)
    made = [
        _tiff(rgb, photometric="rgb"),
        _tiff(rgb, photometric="rgb", bigtiff=True),
        _tiff(rgb, photometric="rgb", byteorder=">", rowsperstrip=4),
        _tiff(rgb, photometric="rgb", tile=(16, 16), compression="zlib", predictor=True),
        _tiff(grey, photometric="miniswhite", compression="lzw"),
        _tiff(rgb, photometric="rgb", compression="jpeg"),
        _tiff(grey.astype(np.float32) / 255, compression="zstd"),
        _tiff(grey.astype(np.uint16), compression="packbits"),
        _tiff(np.moveaxis(rgb, 2, 0).copy(), photometric="rgb", planarconfig="separate"),
        _tiff(_levels(8, 8, 4), photometric="separated"),
        _tiff(_levels(8, 8, 4), photometric="rgb", extrasamples=["assocalpha"]),
        _tiff(_levels(8, 8, 3), photometric="cielab"),
        _tiff(_levels(8, 8), photometric="palette", colormap=_levels(3, 256, dtype=np.uint16)),
        _tiff(np.stack([grey, grey]), photometric="minisblack"),
        _tiff(grey > 100, photometric="minisblack"),
    ]
    plain = _rgb()
    made += [
        _saved(plain, "TIFF", exif=_exif(), dpi=(300, 300)),
        _saved(plain.convert("YCbCr"), "TIFF"),
    ]
    made += [_saved(plain.convert("1"), "TIFF", compression="group4")]
    return made


def _tiff(levels: np.ndarray[tuple[int, ...], np.dtype], **options: Any) -> bytes:  # noqa: ANN401  # tifffile has two dozen
    file = io.BytesIO()
    tifffile.imwrite(file, levels, metadata=None, **options)
    return file.getvalue()


def _avifs() -> list[bytes]:
    rgb, levels = _rgb(), _levels(16, 16, 3)
    made = [
        bytes(imagecodecs.avif_encode(levels, level=90)),
        bytes(imagecodecs.avif_encode(levels[..., 0].copy(), level=90)),
        bytes(imagecodecs.avif_encode(_levels(16, 16, 4), level=90)),
        bytes(imagecodecs.avif_encode(levels.astype(np.uint16) * np.uint16(4), bitspersample=10)),
        _saved(rgb, "AVIF", exif=_exif(), xmp=_XMP, icc_profile=_profile()),
        _saved(rgb, "AVIF", save_all=True, append_images=[rgb.rotate(180)]),
    ]
    return made


def _jpegxls() -> list[bytes]:
    levels = _levels(8, 8, 3)
    plain = _saved(_rgb(), "JPEG", exif=_exif())
    exif = b"\0\0\0\x10brobExif" + bytes(imagecodecs.brotli_encode(b"\0\0\0\0" + _exif()))
    return [
        bytes(imagecodecs.jpegxl_encode(levels, lossless=True)),
        bytes(imagecodecs.jpegxl_encode(levels, level=80, usecontainer=True))
        + struct.pack(">I", len(exif))
        + exif[4:],
        bytes(imagecodecs.jpegxl_encode(np.stack([levels, levels]), lossless=True)),
        bytes(imagecodecs.jpegxl_encode(levels[..., 0].astype(np.float32) / 255)),
        bytes(imagecodecs.jpegxl_encode_jpeg(plain)),
    ]


def _openexr() -> bytes:
    """A float picture of 2 x 2 pixels, not compressed."""
    channels = b"".join(
        name + b"\0" + struct.pack("<iIii", 2, 0, 1, 1) for name in (b"B", b"G", b"R")
    )
    window = struct.pack("<4i", 0, 0, 1, 1)
    attributes = (
        (b"channels", b"chlist", channels + b"\0"),
        (b"compression", b"compression", b"\0"),
        (b"dataWindow", b"box2i", window),
        (b"displayWindow", b"box2i", window),
        (b"lineOrder", b"lineOrder", b"\0"),
        (b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
        (b"screenWindowCenter", b"v2f", bytes(8)),
        (b"screenWindowWidth", b"float", struct.pack("<f", 1)),
    )
    head = b"\x76\x2f\x31\x01\2\0\0\0" + b"".join(
        name + b"\0" + kind + b"\0" + struct.pack("<I", len(value)) + value
        for name, kind, value in attributes
    )
    head += b"\0"
    first = len(head) + 16
    row = struct.pack("<6f", 0.1, 0.9, 0.2, 0.8, 0.3, 0.7)
    table = struct.pack("<QQ", first, first + 8 + len(row))
    rows = b"".join(struct.pack("<iI", y, len(row)) + row for y in (0, 1))
    return head + table + rows


def _pnms() -> list[bytes]:
    rgb = _rgb()
    return [
        _saved(rgb, "PPM"),
        _saved(rgb.convert("L"), "PPM"),
        _saved(rgb.convert("1"), "PPM"),
        b"P2\n# x\n2 2\n255\n0 1 2 3\n",
        b"P5 2 2 65535\n" + bytes(8),
        b"Pf\n2 2\n-1.0\n" + bytes(16),
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nENDHDR\n" + bytes(16),
    ]


def _psds() -> list[bytes]:
    """Photoshop files of 4 x 2 pixels: plain, packed, zipped, and of the large kind."""
    rows = _levels(3, 2, 4).tobytes()
    exif = _exif().removeprefix(b"Exif\0\0")
    resource = b"8BIM" + struct.pack(">HHI", 1058, 0, len(exif)) + exif + bytes(len(exif) % 2)
    packed = [b"\x03" + rows[at : at + 4] for at in range(0, 24, 4)]
    made = []
    for version, wide in ((1, "H"), (2, "I")):
        ways = (
            struct.pack(">H", 0) + rows,
            struct.pack(f">H6{wide}", 1, *map(len, packed)) + b"".join(packed),
            struct.pack(">H", 2) + bytes(imagecodecs.zlib_encode(rows)),
        )
        head = struct.pack(">4sH6xHIIHHI", b"8BPS", version, 3, 2, 4, 8, 3, 0)
        head += struct.pack(">I", len(resource)) + resource
        made += [head + bytes(4 * version) + way for way in ways]
    return made


def _jpeg2000s() -> list[bytes]:
    levels = _levels(8, 8, 3)
    return [
        bytes(imagecodecs.jpeg2k_encode(levels, level=0, codecformat="jp2")),
        bytes(imagecodecs.jpeg2k_encode(levels, level=0, codecformat="j2k")),
        bytes(imagecodecs.jpeg2k_encode(levels[..., 0].astype(np.uint16), codecformat="jp2")),
        _saved(_rgb().convert("RGBA"), "JPEG2000"),
    ]


@cache
def heic_boxes() -> tuple[bytes, ...]:
    """Boxes as a HEIC has them, without a picture that decodes: nothing here can write one."""
    return tuple(made.replace(b"avif", b"heic") for made in _avifs())


def headers() -> tuple[bytes, ...]:
    """Pictures, and files that have a header but no picture: HEIC, and a DNG of no camera."""
    dng = _tiff(_levels(8, 8), extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])
    return (*pictures(), *heic_boxes(), dng)


def _bit_fields() -> bytes:
    """A BMP of 2 x 2 pixels with bits for each channel, and a profile behind them."""
    head = struct.pack("<IiiHHIIiiII", 124, 2, 2, 1, 16, 3, 8, 2835, 2835, 0, 0)
    head += struct.pack("<4I4s", 0xF00, 0xF0, 0xF, 0xF000, b"DEBM")
    head = head.ljust(112, b"\0") + struct.pack("<IIxxxx", 132, 16)
    return struct.pack("<2sIII", b"BM", 162, 0, 138) + head + bytes(range(8)) + bytes(16)


def _others() -> list[bytes]:
    rgb = _rgb()
    frames = [rgb.rotate(180).convert("P")]
    return [
        _saved(rgb, "BMP"),
        _saved(rgb.convert("P"), "BMP"),
        _saved(rgb.convert("1"), "BMP"),
        _saved(rgb, "DIB"),
        _bit_fields(),
        *(_saved(rgb.convert(mode), "PCX") for mode in ("RGB", "P", "1")),
        *(_saved(rgb.convert(mode), "SGI") for mode in ("RGBA", "L")),
        *(_saved(rgb.convert(mode), "TGA") for mode in ("RGBA", "L", "P")),
        _saved(rgb, "TGA", compression="tga_rle"),
        _saved(rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=4), "GIF"),
        _saved(
            rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=4),
            *("GIF",),
            save_all=True,
            append_images=frames,
        ),
    ]
