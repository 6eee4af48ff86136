"""XMP packets, inside a photograph or in a side file: what no longer holds of a result is changed.

One that is not well-formed RDF, or in which nothing changes, stays as it is, byte for byte.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.dom import Node
from xml.dom.minidom import Attr, Document, Element, Text, parseString
from xml.sax.saxutils import escape

from daemon.photo.xmp_document import (
    RDF,
    XMLNS,
    declarations,
    descriptions,
    first_element,
    packed,
    parsed,
    properties,
    remove,
    root_of,
)

_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>))[2-8]")

_TIFF, _EXIF = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/exif/1.0/"
_CAMERA = "http://ns.google.com/photos/1.0/camera/"
_RAW = "http://ns.adobe.com/camera-raw-settings/1.0/"
_XMP = "http://ns.adobe.com/xap/1.0/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"

_GONE_NAMESPACES = frozenset(
    (
        "http://ns.adobe.com/hdr-gain-map/1.0/",
        "http://ns.apple.com/HDRGainMap/1.0/",
        "http://ns.google.com/photos/1.0/container/",
        "http://ns.google.com/photos/1.0/container/item/",
        "http://ns.google.com/photos/dd/1.0/device/",
        "http://ns.google.com/photos/1.0/depthmap/",
        "http://ns.google.com/photos/1.0/image/",
        "http://ns.google.com/photos/1.0/audio/",
    )
)
"""Properties about gain maps, films, depth maps and sounds, which a result has not."""

_GONE = frozenset(
    (
        *((_CAMERA, f"MotionPhoto{part}") for part in ("", "Version")),
        (_CAMERA, "MotionPhotoPresentationTimestampUs"),
        *((_CAMERA, f"MicroVideo{part}") for part in ("", "Version", "Offset")),
        (_CAMERA, "MicroVideoPresentationTimestampUs"),
        *((_RAW, f"Crop{part}") for part in ("Top", "Left", "Bottom", "Right", "Angle")),
        *((_RAW, name) for name in ("HasCrop", "CropWidth", "CropHeight", "CropUnits")),
        *((_RAW, name) for name in ("CropUnit", "CropConstrainToWarp")),
        *((_TIFF, name) for name in ("BitsPerSample", "Compression", "PhotometricInterpretation")),
        *((_TIFF, name) for name in ("SamplesPerPixel", "PlanarConfiguration")),
        *((_TIFF, name) for name in ("YCbCrSubSampling", "NativeDigest")),
        (_EXIF, "NativeDigest"),
        (_XMP, "Thumbnails"),
        (_NOTE, "HasExtendedXMP"),
    )
)
"""Properties of what is not there any more: films, crops that were done, storage, thumbnails."""

_MEDIA = "http://ns.adobe.com/xap/1.0/mm/"
_RENEWED = frozenset(
    (
        *((_MEDIA, name) for name in ("DocumentID", "InstanceID", "DerivedFrom")),
        (_XMP, "CreatorTool"),
        ("http://iptc.org/std/Iptc4xmpExt/2008-02-29/", "DigitalSourceType"),
    )
)
"""Properties of the file itself, which a result has of its own."""

_EMPTY = (
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"></rdf:RDF></x:xmpmeta>'
).encode()
_MADE = (
    f'<rdf:Description xmlns:rdf="{RDF}" xmlns:xmp="{_XMP}" xmlns:xmpMM="{_MEDIA}" '
    'xmlns:stRef="http://ns.adobe.com/xap/1.0/sType/ResourceRef#" '
    'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" rdf:about="" '
    'xmp:CreatorTool="{software}" xmpMM:DocumentID="xmp.did:{identifier}" '
    'xmpMM:InstanceID="xmp.iid:{identifier}" Iptc4xmpExt:DigitalSourceType="{source}">'
    '<xmpMM:DerivedFrom stRef:documentID="{parent}" stRef:instanceID="{instance}"/>'
    '<xmpMM:History><rdf:Seq><rdf:li stEvt:action="edited" stEvt:softwareAgent="{software}" '
    'stEvt:parameters="{action}" stEvt:instanceID="xmp.iid:{identifier}"/></rdf:Seq>'
    "</xmpMM:History></rdf:Description>"
)
"""Properties of a packet that say how a result was made."""

_DUBLIN_CORE = "http://purl.org/dc/elements/1.1/"
_DESCRIPTION = (
    f'<rdf:Description xmlns:rdf="{RDF}" xmlns:dc="{_DUBLIN_CORE}" rdf:about="">'
    "{}</rdf:Description>"
)
_ALTERNATIVE = '<dc:{0}><rdf:Alt><rdf:li xml:lang="x-default">{{}}</rdf:li></rdf:Alt></dc:{0}>'
_TEXTS = {
    **{name: _ALTERNATIVE.format(name) for name in ("title", "description", "rights")},
    "creator": "<dc:creator><rdf:Seq><rdf:li>{}</rdf:li></rdf:Seq></dc:creator>",
}
"""Properties of Dublin Core that text becomes, by their name."""

_PHOTOSHOP = "http://ns.adobe.com/photoshop/1.0/"
_IPTC_CORE = "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"
_IPTC_EXTENSION = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_LOCATIONS = frozenset(
    (
        *((_PHOTOSHOP, name) for name in ("City", "State", "Country")),
        *((_IPTC_CORE, name) for name in ("Location", "CountryCode")),
        *((_IPTC_EXTENSION, name) for name in ("LocationCreated", "LocationShown")),
        ("http://purl.org/dc/elements/1.1/", "coverage"),
    )
)
"""Properties that name a place, beside those of GPS."""

_WIDTHS = ((_TIFF, "ImageWidth"), (_EXIF, "PixelXDimension"))
_HEIGHTS = ((_TIFF, "ImageLength"), (_EXIF, "PixelYDimension"))
_RESOLUTIONS = ((_TIFF, "XResolution"), (_TIFF, "YResolution"))
_MIME = ("http://purl.org/dc/elements/1.1/", "format")


def upright_xmp(packet: bytes) -> bytes:
    """An XMP packet with its orientation reset: a result is upright."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


@dataclass(frozen=True)
class XmpChanges:
    """The differences of a result from its original.

    Attributes:
        width, height: Its size in pixels.
        mime: Its type, such as "image/png".
        scale: How many times larger than the original it is.
        turned: EXIF orientation that was applied to the stored pixels, 1 to 8.
        is_srgb: Whether its colours are sRGB now; None where they are what they were.
    """

    width: int
    height: int
    mime: str
    scale: float = 1.0
    turned: int = 1
    is_srgb: bool | None = None


def changed_xmp(packet: bytes, changes: XmpChanges) -> bytes:
    """The packet of a result."""
    document = parsed(packet)
    if document is None:
        return packet
    changed = False
    for description in descriptions(document):
        is_pending = _is_pending_raw(description)
        for node in properties(description):
            changed |= _change(node, changes, is_pending=is_pending)
    changed |= _turn_regions(document, changes)
    return packed(document) if changed else packet


def without_location(packet: bytes) -> bytes | None:
    """A packet without what names the place; None if it cannot be searched."""
    document = parsed(packet)
    if document is None:
        return None
    for element in document.getElementsByTagName("*"):
        for node in properties(element):
            namespace, name = node.namespaceURI or "", node.localName or ""
            is_gps = namespace == _EXIF and name.startswith("GPS")
            if is_gps or (namespace, name) in _LOCATIONS:
                remove(node)
    return packed(document)


def with_history(
    packet: bytes | None, *, software: str, source: str, identifier: str, action: str
) -> bytes | None:
    """A packet that says how the picture was made, after what it says already.

    Args:
        packet: The original's, or None.
        software: Program and version.
        source: IPTC's identifier of the kind of picture.
        identifier: UUID of the result.
        action: What was done.

    Returns:
        The packet; None if the original's is damaged.

    Source: XMP specification, part 2, xmpMM; IPTC Photo Metadata Standard 2023.2.
    """
    document = parsed(packet or _EMPTY)
    root = None if document is None else first_element(document, RDF, "RDF")
    if document is None or root is None:
        return None
    old: dict[str, str] = {}
    history: Element | None = None
    for description in descriptions(document):
        for node in properties(description):
            namespace, name = node.namespaceURI or "", node.localName or ""
            if namespace == _MEDIA and name == "History" and isinstance(node, Element):
                history = node
            elif (namespace, name) in _RENEWED:
                old[name] = _text(node)
                remove(node)
    values = {
        "software": software, "source": source, "identifier": identifier, "action": action,
        "parent": old.get("DocumentID", ""), "instance": old.get("InstanceID", ""),
    }  # fmt: skip
    values = {name: escape(value, {'"': "&quot;"}) for name, value in values.items()}
    added = root_of(parseString(_MADE.format(**values).encode()))
    (derived,) = added.getElementsByTagNameNS(_MEDIA, "DerivedFrom")
    for attribute in list(derived.attributes.values()):
        if not attribute.value:
            derived.removeAttributeNode(attribute)
    if not derived.attributes.length:  # the original has no identifier
        remove(derived)
    items = [] if history is None else list(history.getElementsByTagNameNS(RDF, "li"))
    target = added.getElementsByTagNameNS(RDF, "Seq")[0]
    for item in items:
        target.insertBefore(item, target.lastChild)
    if history is not None:
        remove(history)
    root.appendChild(added)
    return packed(document)


def with_texts(
    packet: bytes | None, texts: Mapping[str, str]
) -> tuple[bytes | None, tuple[str, ...]]:
    """A packet with texts as properties of Dublin Core, unless it has other ones there.

    Args:
        packet: The original's, or None.
        texts: By name: "title", "description", "rights" or "creator".

    Returns:
        The packet, and the names of properties that could not be added.
    """
    document = parsed(packet or _EMPTY)
    root = None if document is None else first_element(document, RDF, "RDF")
    if document is None or root is None:
        return packet, tuple(texts)
    present = {
        (node.localName or ""): "".join(_all_text(node).split())
        for description in descriptions(document)
        for node in properties(description)
        if node.namespaceURI == _DUBLIN_CORE
    }
    missing = tuple(
        name
        for name, text in texts.items()
        if present.get(name, "".join(text.split())) != "".join(text.split())
    )
    added = {name: text for name, text in texts.items() if name not in present}
    if not added:
        return packet, missing
    lines = "".join(_TEXTS[name].format(escape(_printable(text))) for name, text in added.items())
    root.appendChild(root_of(parseString(_DESCRIPTION.format(lines).encode())))
    return packed(document), missing


def _printable(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return "".join(one for one in text if one in "\t\n\r" or one >= " ")


def _all_text(node: Attr | Element) -> str:
    """The text of a property and of what is below it."""
    if not isinstance(node, Element):
        return str(node.value)
    found, stack = "", [node]
    while stack:
        element = stack.pop()
        found += _text(element)
        stack += [one for one in element.childNodes if isinstance(one, Element)]
    return found


def merged_xmp(packet: bytes, extended: bytes) -> bytes | None:
    """A packet with the second part that a JPEG keeps apart; None if either is damaged."""
    document, other = parsed(packet), parsed(extended)
    target = None if document is None else first_element(document, RDF, "RDF")
    source = None if other is None else first_element(other, RDF, "RDF")
    if document is None or target is None or source is None:
        return None
    spaces = declarations(source)
    for child in [node for node in source.childNodes if isinstance(node, Element)]:
        for name, value in spaces.items():
            if not child.hasAttribute(name):
                child.setAttributeNS(XMLNS, name, value)
        target.appendChild(child)
    for description in descriptions(document):
        for node in properties(description):
            if (node.namespaceURI, node.localName) == (_NOTE, "HasExtendedXMP"):
                remove(node)
    return packed(document)


def extended_segments(packet: bytes) -> bytes | None:
    """A packet too long for one segment of a JPEG as several; None if it is no XMP.

    Source: XMP specification, part 3, 1.1.3.1.
    """
    document = parsed(packet)
    if document is None or first_element(document, RDF, "RDF") is None:
        return None
    content = root_of(document).toxml().encode()
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest().upper()
    main = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + RDF + '"><rdf:Description '
        f'rdf:about="" xmlns:xmpNote="{_NOTE}" xmpNote:HasExtendedXMP="{digest}"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    segments = _segment(b"http://ns.adobe.com/xap/1.0/\0" + main.encode())
    for start in range(0, len(content), 65_000):
        head = digest.encode() + struct.pack(">II", len(content), start)
        part = content[start : start + 65_000]
        segments += _segment(b"http://ns.adobe.com/xmp/extension/\0" + head + part)
    return segments


def _segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def _is_pending_raw(description: Element) -> bool:
    """Whether settings of a raw converter would be applied to the result once more."""
    done = [
        _text(node)
        for node in properties(description)
        if (node.namespaceURI, node.localName) == (_RAW, "AlreadyApplied")
    ]
    return "True" not in done


def _change(node: Attr | Element, changes: XmpChanges, *, is_pending: bool) -> bool:
    """Change or remove a property; whether it was."""
    key = (node.namespaceURI or "", node.localName or "")
    if key[0] in _GONE_NAMESPACES or key in _GONE or (key[0] == _RAW and is_pending):
        remove(node)
        return True
    value = _text(node)
    if key == (_EXIF, "ColorSpace") and changes.is_srgb is not None:
        return _set(node, value, "1" if changes.is_srgb else "65535")
    if key in _RESOLUTIONS and changes.scale != 1:
        return _set(node, value, _scaled(value, changes.scale))
    fixed = {
        **dict.fromkeys(_WIDTHS, str(changes.width)),
        **dict.fromkeys(_HEIGHTS, str(changes.height)),
        (_TIFF, "Orientation"): "1",
        _MIME: changes.mime,
    }
    return key in fixed and _set(node, value, fixed[key])


def _scaled(value: str, scale: float) -> str:
    above, _, below = value.partition("/")
    try:
        return f"{round(int(above) * scale)}/{int(below or 1)}"
    except (ValueError, OverflowError):
        return value


def _text(node: Attr | Element) -> str:
    if isinstance(node, Element):
        return "".join(one.data for one in node.childNodes if one.nodeType == Node.TEXT_NODE)
    return str(node.value)


def _set(node: Attr | Element, before: str, value: str) -> bool:
    """Give a property another value; whether it is another."""
    if before.strip() == value:
        return False
    if not isinstance(node, Element):
        node.value = value
        return True
    match node.childNodes:
        case [Text() as only]:
            only.data = value
            return True
    return False


_TURNS: dict[int, Callable[[float, float], tuple[float, float]]] = {
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}
"""Where a point of the stored picture, in shares of its sides, lies in the upright one."""


def _turn_regions(document: Document, changes: XmpChanges) -> bool:
    """Turn faces and other regions with the picture; whether any was.

    Source: Metadata Working Group, Guidelines 2.0, 5.9: regions are those of the stored pixels.
    """
    turn = _TURNS.get(changes.turned)
    changed = False
    for element in document.getElementsByTagName("*"):
        named = {(node.namespaceURI, node.localName): node for node in properties(element)}
        area = [named.get((_AREA, name)) for name in ("x", "y", "w", "h")]
        if turn is not None and area[0] is not None and area[1] is not None:
            changed |= _turn_area(area, turn, is_swapped=changes.turned >= 5)
    return changed


def _turn_area(
    area: list[Attr | Element | None],
    turn: Callable[[float, float], tuple[float, float]],
    *,
    is_swapped: bool,
) -> bool:
    nodes = [node for node in area if node is not None]
    try:
        values = [float(_text(node)) for node in nodes]
    except ValueError:
        return False
    values[:2] = turn(values[0], values[1])
    if is_swapped and len(values) == 4:
        values[2:] = values[3], values[2]
    for node, value in zip(nodes, values, strict=True):
        _set(node, _text(node), f"{value:.6g}")
    return True
