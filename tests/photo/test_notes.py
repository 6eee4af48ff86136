import json
import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from daemon.photo.notes import Note, NoteKind, each_once, kind_of, kinds_of, note_of
from tests.support.photos import read

NOTE = Note(NoteKind.DEPTH, "16-bit written as 8-bit")


def test_a_note_is_its_text_with_a_kind_that_survives_a_pipe() -> None:
    again = pickle.loads(pickle.dumps(NOTE))
    assert (again, again.kind) == ("16-bit written as 8-bit", NoteKind.DEPTH)
    assert json.dumps([NOTE]) == '["16-bit written as 8-bit"]'


def test_a_text_without_a_kind_and_a_kind_of_a_newer_program_are_other() -> None:
    assert (note_of("x").kind, note_of(NOTE)) == (NoteKind.OTHER, NOTE)
    assert (kind_of("later"), kind_of("pages")) == (NoteKind.OTHER, NoteKind.PAGES)
    assert all(kind.words for kind in NoteKind)


def test_notes_are_kept_once_in_their_order_and_kinds_in_that_of_the_list() -> None:
    notes = each_once(["x", NOTE, "x", str(NOTE)])
    assert notes == ("x", NOTE)
    assert kinds_of(notes) == (NoteKind.DEPTH, NoteKind.OTHER)


def test_what_reading_notes_has_its_kind(tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((8, 8), 9, np.uint8))
    grey.save(tmp_path / "a.gif", save_all=True, append_images=[Image.new("L", (8, 8), 90)])
    grey.convert("CMYK").save(tmp_path / "a.jpg")
    found = [read(tmp_path / name).notes for name in ("a.gif", "a.jpg")]
    kinds = [[note_of(note).kind for note in notes] for notes in found]
    assert kinds == [[NoteKind.PAGES], [NoteKind.COLOUR]]
