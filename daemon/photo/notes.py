"""Notes: what a person should know of a result, one sentence each, with its kind.

A note is text wherever text is wanted; its kind is what `status` and reports count.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class NoteKind(StrEnum):
    """Kinds of notes; the values are those of records, the ledger and `status --json`."""

    DEPTH = "depth"
    PAGES = "pages"
    COLOUR = "colour"
    TRANSPARENCY = "transparency"
    DAMAGE = "damage"
    METADATA = "metadata"
    CREDENTIALS = "credentials"
    NOTHING_FOUND = "nothing_found"
    NOT_NEEDED = "not_needed"
    GUESS = "guess"
    SIZE = "size"
    PROMPT = "prompt"
    MODEL = "model"
    OTHER = "other"

    @property
    def words(self) -> str:
        """Its name for people, before a number of results."""
        return _WORDS[self]


_WORDS = {
    NoteKind.DEPTH: "other bits than the file",
    NoteKind.PAGES: "pages or pictures left out",
    NoteKind.COLOUR: "colours converted",
    NoteKind.TRANSPARENCY: "transparency or channels left out",
    NoteKind.DAMAGE: "damaged files",
    NoteKind.METADATA: "metadata left out",
    NoteKind.CREDENTIALS: "content credentials left out",
    NoteKind.NOTHING_FOUND: "nothing found to restore",
    NoteKind.NOT_NEEDED: "steps not needed",
    NoteKind.GUESS: "guessed colours",
    NoteKind.SIZE: "sizes fitted",
    NoteKind.PROMPT: "prompts not read whole",
    NoteKind.MODEL: "limits of a model",
    NoteKind.OTHER: "other",
}


class Note(str):
    """A sentence with its kind; equal to the same text, of whatever kind."""

    __slots__ = ("kind",)

    kind: NoteKind

    def __new__(cls, kind: NoteKind, text: str) -> Note:
        """Give a sentence its kind."""
        note = super().__new__(cls, text)
        note.kind = kind
        return note

    def __getnewargs__(self) -> tuple[NoteKind, str]:  # type: ignore[override]
        """Arguments by which a pickled note is made again: notes come from the worker by a pipe."""
        return self.kind, str(self)


def extra_channels_note(number: int) -> Note:
    """Say that channels beside the colours were left out, which are no opacity."""
    channels = f"{number} extra channel{'s' * (number > 1)}"
    return Note(NoteKind.TRANSPARENCY, f"{channels} left out: no opacity")


def note_of(text: str) -> Note:
    """A sentence as a note; one that has no kind is of `OTHER`."""
    return text if isinstance(text, Note) else Note(NoteKind.OTHER, text)


def kind_of(name: str) -> NoteKind:
    """The kind of a name; one that a newer program wrote is `OTHER`."""
    try:
        return NoteKind(name)
    except ValueError:
        return NoteKind.OTHER


def each_once(texts: Iterable[str]) -> tuple[Note, ...]:
    """Notes in their order, each once."""
    return tuple(note_of(text) for text in dict.fromkeys(texts))


def kinds_of(notes: Iterable[Note]) -> tuple[NoteKind, ...]:
    """The kinds of notes, each once, in the order of `NoteKind`."""
    found = {note.kind for note in notes}
    return tuple(kind for kind in NoteKind if kind in found)
