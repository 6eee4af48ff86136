"""XMP packets as XML documents, parsed within bounds and without entities, and written again."""

from __future__ import annotations

from collections.abc import Iterator
from xml.dom import Node
from xml.dom.minidom import Attr, Document, Element, parseString
from xml.parsers.expat import ExpatError

_MAX_BYTES, _MAX_TAGS, _MAX_ATTRIBUTES = 1 << 24, 100_000, 200_000
"""Longest packet that is parsed, and what it may hold; beyond it stays as it is."""

_MAX_DEPTH = 100
_BREAK = "\ue00a"
"""A character of private use that stands for a line break while a packet is written."""

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMLNS = "http://www.w3.org/2000/xmlns/"


def parsed(packet: bytes) -> Document | None:
    """The document of a packet; None if it is not well-formed or beyond the bounds."""
    packet = packet.strip(b"\0 \t\r\n")
    if len(packet) > _MAX_BYTES or packet.count(b"<") > _MAX_TAGS:
        return None
    # An entity could stand for gigabytes; UTF-16, in which none can be looked for, has zeros.
    if packet.count(b"=") > _MAX_ATTRIBUTES or b"<!" in packet or b"\0" in packet:
        return None
    try:
        document = parseString(packet)
    except (ExpatError, ValueError, LookupError):
        return None
    return document if _depth(document) <= _MAX_DEPTH else None


def root_of(document: Document) -> Element:
    """The outermost element.

    Raises:
        ValueError: There is none.
    """
    root = document.documentElement
    if root is None:
        raise ValueError("XML without an element")
    return root


def _depth(document: Document) -> int:
    """How deep elements are nested, without recursion."""
    deepest, stack = 0, [(root_of(document), 1)]
    while stack:
        element, depth = stack.pop()
        deepest = max(deepest, depth)
        stack += [(one, depth + 1) for one in element.childNodes if isinstance(one, Element)]
    return deepest


def packed(document: Document) -> bytes:
    """The packet of a document, with line breaks in attributes kept."""
    for element in document.getElementsByTagName("*"):
        for attribute in element.attributes.values():
            attribute.value = attribute.value.replace("\n", _BREAK)
    text = "\n".join(node.toxml() for node in document.childNodes)
    return text.replace(_BREAK, "&#10;").encode()


def first_element(document: Document, namespace: str, name: str) -> Element | None:
    """The first element of a name, wherever it stands; None if there is none."""
    found = document.getElementsByTagNameNS(namespace, name)
    return found[0] if found else None


def descriptions(document: Document) -> list[Element]:
    """The elements that hold properties of the photograph itself."""
    found = first_element(document, RDF, "RDF")
    nodes = [] if found is None else found.childNodes
    return [node for node in nodes if isinstance(node, Element)]


def properties(element: Element) -> Iterator[Attr | Element]:
    """The attributes of an element, and the elements within it."""
    yield from list(element.attributes.values())
    yield from [node for node in element.childNodes if isinstance(node, Element)]


def declarations(element: Element) -> dict[str, str]:
    """Declarations of namespaces that hold for an element."""
    found: dict[str, str] = {}
    node: Node | None = element
    while isinstance(node, Element):
        for name, value in node.attributes.items():
            if name.startswith("xmlns"):
                found.setdefault(name, value)
        node = node.parentNode
    return found


def remove(node: Attr | Element) -> None:
    """Take a node out of its document."""
    if isinstance(node, Element):
        if node.parentNode is not None:
            node.parentNode.removeChild(node)
    elif node.ownerElement is not None:
        node.ownerElement.removeAttributeNode(node)
