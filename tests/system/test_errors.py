"""Errors that a person reads: their fields and their text."""

import pickle

import pytest

from daemon.system.errors import PhotoError, TruncatedError


@pytest.mark.parametrize("kind", [PhotoError, TruncatedError])
def test_a_photo_error_keeps_its_fields_across_processes(kind: type[PhotoError]) -> None:
    error = pickle.loads(pickle.dumps(kind("a.png", "ends early", remedy="copy it again")))
    assert type(error) is kind
    assert (error.photo, error.why, error.remedy) == ("a.png", "ends early", "copy it again")
    assert str(error) == "a.png: ends early; copy it again"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (("a.png", "is empty"), "a.png: is empty"),
        (("", "is empty"), "is empty"),
        (("", "is empty", "copy it again"), "is empty; copy it again"),
    ],
)
def test_a_photo_error_says_only_what_is_known(fields: tuple[str, ...], text: str) -> None:
    assert str(PhotoError(*fields)) == text
