import errno
from pathlib import Path

from daemon.engine.failures import outcome_of
from daemon.messages.reports import Failed
from daemon.photo import Header, Photo

HEADER = Header("PNG", 8, 8, "RGB")
PHOTO = Photo(
    Path("/work/0-0-a.png"),
    "a.png",
    "digest",
    HEADER,
    mask=Path("/work/0-1-a.mask.png"),
    place="denoise/a.png",
    mask_place="denoise/a.mask.png",
)


def test_a_file_that_cannot_be_read_is_named_as_people_know_it() -> None:
    for path, place in (("/work/0-0-a.png", "denoise/a.png"), (PHOTO.mask, "denoise/a.mask.png")):
        error = OSError(errno.EIO, "Input/output error", str(path))
        assert outcome_of(7, error, (PHOTO,)) == Failed(
            7, f"[Errno 5] Input/output error: '{place}'", passing=True
        )


def test_a_file_that_is_none_of_the_photographs_is_named_by_its_path() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/staged/7/0.png")
    assert outcome_of(7, error, (PHOTO,)) == Failed(
        7, "[Errno 28] No space left on device: '/staged/7/0.png'", passing=True, no_space=True
    )
