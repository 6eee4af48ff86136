"""What exceptions mean: whose fault they are, and whether they may pass."""

import errno
from pathlib import Path

import pytest
import torch

from daemon.engine.failures import is_device_lost, is_out_of_memory, outcome_of
from daemon.messages.reports import Failed, Rejected
from daemon.photo import Header, Photo
from daemon.system.errors import ConfigError, PhotoError, TruncatedError

HEADER = Header("PNG", 8, 8, "RGB")
PHOTO = Photo(
    Path("/work/0-0-a.png"),
    "a.png",
    "digest",
    HEADER,
    mask=Path("/work/0-1-a.mask.png"),
    label="denoise/a.png",
    mask_label="denoise/a.mask.png",
)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_is_known_in_every_form_and_may_pass(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_device_lost(error)
    outcome = outcome_of(7, error)
    assert isinstance(outcome, Failed)
    assert outcome.passing
    assert outcome.reason.startswith("out of memory: ")


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (torch.AcceleratorError("an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA out of memory; CUDA error"), False),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_a_device_is_lost_when_its_context_is_broken(error: Exception, lost: bool) -> None:
    assert is_device_lost(error) == lost


def test_a_wrong_setting_fails_with_its_own_message_and_no_traceback() -> None:
    assert outcome_of(7, ConfigError("models_dir: no such folder")) == Failed(
        7, "models_dir: no such folder"
    )


def test_a_photograph_at_fault_is_rejected_with_the_fields_of_the_error() -> None:
    assert outcome_of(
        7, TruncatedError("a.mask.png", "ends early", "copy it again"), (PHOTO,)
    ) == Rejected(7, "a.mask.png", "ends early", "copy it again", truncated=True)


def test_a_photograph_is_named_where_the_error_could_not_name_it() -> None:
    outcome = outcome_of(7, PhotoError("", "has no mask", "paint one"), (PHOTO,))
    assert outcome == Rejected(7, "denoise/a.png", "has no mask", "paint one")
    assert outcome_of(7, PhotoError("", "has no mask")) == Rejected(7, "", "has no mask")


def test_a_full_disk_is_told_apart() -> None:
    outcome = outcome_of(7, OSError(errno.ENOSPC, "No space left on device"))
    assert outcome == Failed(7, "[Errno 28] No space left on device", passing=True, no_space=True)


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
