"""Changes along the structure of an input, which changes of mere bytes would break first.

A TIFF keeps its directory, a PNG the checksums of its chunks, a JPEG its segments, JSON its
brackets and TOML its lines. Each returns the input as it is where it has no such structure.
"""

import json
import random
import re
import struct
import zlib

_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 255, 256, 4095, 65535, 1 << 20, 1 << 31, (1 << 32) - 1)
_TAGS = (
    *(254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 282, 284, 296, 317, 320, 322, 323),
    *(324, 325, 330, 338, 339, 347, 530, 532, 700, 34665, 34675, 34853, 40965, 50706),
)
_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**30, 0.5, -1.5, 1e308, "", "x", "\0"),
    *("..", "/", "../../x", "\ud800", "é", "e\u0301", "\u202e", "x" * 300, [], {}, [[]], [None]),
    *([0] * 65, {"": None}, {"x": {}}, [["x", "y"]], "true", "1", "/tmp/x", "NaN"),
)
_TOML_VALUES = (
    *("0", "-1", "1", "2", "0.5", "1e400", "nan", "inf", "-inf", "9223372036854775808", "true"),
    *('""', '"x"', "[]", "{}", '["x"]', "[1, 2]", "[[]]", "1979-05-27", "07:32:00", '"\\u0000"'),
    *('"* * * * *"', '"0 0 30 2 *"', '"22:00-06:00"', '"Europe/Berlin"', '"../x"', "'''x'''"),
    *("1979-05-27T07:32:00Z", "{a.b = 1}", '["mon"]', '"' + "x" * 250 + '"', "0x7fffffffffffffff"),
)
_JSON_TEXTS = ("NaN", "Infinity", "-Infinity", "1e999", "1" * 400, "[" * 1500, '{"x":' * 600)

_BOX = re.compile(
    rb"(?<=.{4})(ftyp|meta|pitm|iinf|infe|iloc|iprp|ipco|ipma|iref|ispe|pixi|colr|av1C|hvcC|auxC"
    rb"|auxl|irot|imir|clap|idat|hdlr|mdat|cdsc|dimg|Exif|mime|grid"
    rb"|moov|avis|jP  |jp2h|ihdr|bpcc|pclr|cdef|cmap|jp2c|JXL |jxlc|jxlp|jbrd|brob|xml )",
    re.DOTALL,
)
"""Kinds of boxes, behind their lengths."""


def picture(content: bytes, rng: random.Random) -> bytes:
    """Change a picture file along the structure of its format."""
    if content[:2] in (b"II", b"MM"):
        return _tiff(content, rng)
    if content.startswith(b"\x89PNG"):
        return _png(content, rng)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content, rng)
    if content.startswith(b"RIFF"):
        return _riff(content, rng)
    if content[4:8] in (b"ftyp", b"JXL ", b"jP  "):
        return _boxes(content, rng)
    return _number(content, rng)


def json_files(content: bytes, rng: random.Random) -> bytes:
    """Change one of several JSON texts with NUL between them."""
    parts = content.split(b"\0")
    at = rng.randrange(len(parts))
    parts[at] = _json(parts[at], rng)
    return b"\0".join(parts)


def toml(content: bytes, rng: random.Random) -> bytes:
    """Change a line of TOML."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    key, sign, _ = lines[at].partition(b"=")
    match rng.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[rng.randrange(len(lines))])
        case 2 if sign:
            lines[at] = b".".join([key.strip()] * rng.choice((2, 3, 16, 20))) + b" = 1"
        case _ if sign:
            lines[at] = key + b"= " + rng.choice(_TOML_VALUES).encode()
        case _:
            lines.insert(at, b"[" * rng.choice((1, 2)) + rng.choice(lines) + b"]")
    return b"\n".join(lines)


def lines(content: bytes, rng: random.Random) -> bytes:
    """Change the order, number or ends of lines."""
    found = content.split(b"\n")
    at = rng.randrange(len(found))
    match rng.randrange(4):
        case 0:
            found.insert(at, found[rng.randrange(len(found))])
        case 1:
            found[at] += rng.choice(
                (b".mask.png", b".json", b"-a", b"_2", b".xmp", b"(1)", b"\xff")
            )
        case 2:
            found[at] *= rng.choice((2, 20, 60))
        case _:
            found[at] = found[at][::-1]
    return b"\n".join(found)


def _extreme(rng: random.Random, bits: int) -> int:
    value = rng.choice(_NUMBERS) if rng.random() < 0.7 else rng.getrandbits(bits)
    if rng.random() < 0.1:
        value = (1 << bits) - 1 - rng.randrange(3)
    return value & ((1 << bits) - 1)


def _number(content: bytes, rng: random.Random) -> bytes:
    """Put an extreme number anywhere into the first 200 bytes."""
    code = rng.choice(("<H", ">H", "<I", ">I", "<Q", ">Q", "B"))
    size = struct.calcsize(code)
    at = rng.randrange(max(1, min(200, len(content))))
    return content[:at] + struct.pack(code, _extreme(rng, 8 * size)) + content[at + size :]


def _tiff(content: bytes, rng: random.Random) -> bytes:
    """Change an entry of a directory, or where the next one lies."""
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    number, pointer, length = ("Q", "Q", 20) if big else ("H", "I", 12)
    inline = struct.calcsize(pointer)
    try:
        (first,) = struct.unpack_from(order + pointer, content, 8 if big else 4)
        (count,) = struct.unpack_from(order + number, content, first)
    except (struct.error, OverflowError):
        return _number(content, rng)
    begin = first + struct.calcsize(order + number)
    entries = min(count, max(0, len(content) - begin) // length)
    if not entries:
        return _number(content, rng)
    changed = bytearray(content)
    at = begin + length * rng.randrange(entries)
    match rng.randrange(6):
        case 0:
            struct.pack_into(order + "H", changed, at, rng.choice(_TAGS))
        case 1:
            struct.pack_into(order + "H", changed, at + 2, rng.randrange(20))
        case 2:
            struct.pack_into(order + pointer, changed, at + 4, _extreme(rng, 8 * inline))
        case 3 | 4:
            value = rng.choice((first, len(content), len(content) - 1, _extreme(rng, 8 * inline)))
            struct.pack_into(order + pointer, changed, at + 4 + inline, value)
        case _:
            following = begin + length * entries
            if following + inline <= len(content):
                value = rng.choice((first, 8, len(content), _extreme(rng, 8 * inline)))
                struct.pack_into(order + pointer, changed, following, value)
    return bytes(changed)


def _png(content: bytes, rng: random.Random) -> bytes:
    """Change, move or repeat a chunk; all checksums are right afterwards."""
    chunks, offset = [], 8
    while offset + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, offset)
        chunks.append((content[offset + 4 : offset + 8], content[offset + 8 : offset + 8 + length]))
        offset += 12 + length
    if not chunks:
        return _number(content, rng)
    at = rng.randrange(len(chunks))
    kind, body = chunks[at]
    match rng.randrange(6):
        case 0:
            chunks.insert(rng.randrange(len(chunks)), chunks[at])
        case 1:
            del chunks[at]
        case 2:
            kinds = (
                b"iCCP",
                b"eXIf",
                b"tRNS",
                b"PLTE",
                b"cHRM",
                b"gAMA",
                b"cICP",
                b"acTL",
                b"fcTL",
            )
            chunks[at] = (rng.choice(kinds), body)
        case 3:
            chunks[at] = (kind, body[: rng.randrange(len(body) + 1)])
        case _:
            chunks[at] = (kind, _number(body, rng))
    parts = [struct.pack(">I", len(b)) + k + b + _checksum(k + b) for k, b in chunks]
    return content[:8] + b"".join(parts)


def _checksum(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def _jpeg(content: bytes, rng: random.Random) -> bytes:
    """Change, move or repeat a segment before the first scan."""
    segments, offset = [], 2
    while offset + 4 <= len(content) and content[offset] == 0xFF and content[offset + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", content, offset + 2)
        segments.append((content[offset + 1], content[offset + 4 : offset + 2 + max(2, length)]))
        offset += 2 + max(2, length)
    if not segments:
        return _number(content, rng)
    at = rng.randrange(len(segments))
    marker, body = segments[at]
    match rng.randrange(6):
        case 0:
            segments.insert(rng.randrange(len(segments)), segments[at])
        case 1:
            del segments[at]
        case 2:
            markers = (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDB, 0xDD, 0xE0, 0xE1, 0xE2, 0xEE, 0xFE)
            segments[at] = (rng.choice(markers), body)
        case 3:
            segments[at] = (marker, body[: rng.randrange(len(body) + 1)])
        case 4 if body.startswith(b"Exif\0\0"):
            segments[at] = (marker, body[:6] + _tiff(body[6:], rng))
        case _:
            segments[at] = (marker, _number(body, rng))
    parts = [struct.pack(">BBH", 0xFF, m, len(b) + 2 & 0xFFFF) + b for m, b in segments]
    return content[:2] + b"".join(parts) + content[offset:]


def _riff(content: bytes, rng: random.Random) -> bytes:
    """Change a number in a WebP, and mostly make its length right."""
    changed = content[:12] + _number(content[12:], rng)
    if rng.random() < 0.8:
        changed = content[:4] + struct.pack("<I", len(changed) - 8) + changed[8:]
    return changed


def _boxes(content: bytes, rng: random.Random) -> bytes:
    """Change the length, the kind or a number in the first bytes of a box of a HEIF or AVIF."""
    found = [match.start() for match in _BOX.finditer(content)]
    at = rng.choice(found or [4])
    match rng.randrange(4):
        case 0:
            length = struct.pack(">I", _extreme(rng, 32))
            return content[: at - 4] + length + content[at:]
        case 1:
            other = rng.choice(found or [4])
            return content[:at] + content[other : other + 4] + content[at + 4 :]
        case _:
            begin = at + 4 + rng.randrange(24)
            code = rng.choice((">B", ">H", ">I", ">Q"))
            size = struct.calcsize(code)
            number = struct.pack(code, _extreme(rng, 8 * size))
            return content[:begin] + number + content[begin + size :]


def _json(content: bytes, rng: random.Random) -> bytes:
    """Change one value, or one key, of a JSON text."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places: list[tuple[dict[str, object] | list[object], str | int]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            places += [(node, key) for key in node]
            waiting += node.values()
        elif isinstance(node, list):
            places += [(node, at) for at in range(len(node))]
            waiting += node
    if not places or rng.random() < 0.05:
        return json.dumps(rng.choice(_VALUES)).encode()
    node, key = rng.choice(places)
    match node, rng.randrange(6):
        case dict(), 0:
            del node[str(key)]
        case dict(), 1:
            node[str(rng.choice(_VALUES))] = rng.choice(_VALUES)
        case list(), 0 | 1:
            node *= rng.choice((0, 2, 70))
        case dict(), 2:
            node[str(key)] = "MARK"
            return json.dumps(tree).replace('"MARK"', rng.choice(_JSON_TEXTS), 1).encode()
        case dict(), _:
            node[str(key)] = rng.choice(_VALUES)
        case _ if isinstance(key, int) and isinstance(node, list):
            node[key] = rng.choice(_VALUES)
    return json.dumps(tree).encode()


def with_chunks(content: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with further chunks behind its header."""
    behind = 8 + 25
    parts = [struct.pack(">I", len(b)) + k + b + _checksum(k + b) for k, b in chunks]
    return content[:behind] + b"".join(parts) + content[behind:]
