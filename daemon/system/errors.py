"""Errors, named by what the operator does next. No other module defines one.

A message says what, where, what was expected and how to mend it. Anything that is none of these
is a bug: the job fails with its traceback and the service lives on.
"""


class RestoredError(Exception):
    """Base of every error that is meant to be read by a person.

    Attributes:
        exit_code: The sysexits code a command ends with when this error reaches it.
    """

    exit_code = 70


class UsageError(RestoredError):
    """The command line does not make sense as given."""

    exit_code = 64


class PhotoError(RestoredError):
    """The photograph itself is at fault: it is rejected with this reason and never retried."""

    exit_code = 65


class TruncatedError(PhotoError):
    """The file ends early: it is damaged, or still arriving."""

    truncated = True


class CannotWriteError(RestoredError):
    """A result, a record or a folder cannot be written where it was asked for."""

    exit_code = 73


class BusyError(RestoredError):
    """Somebody else holds what is needed, such as another daemon on the same station."""

    exit_code = 75


class PassingError(RestoredError):
    """A fault that may pass by itself (no space, no memory): retried with back-off."""

    exit_code = 75


class LedgerError(RestoredError):
    """The ledger cannot be read or written now: its disk is full or away, or it is locked.

    Attributes:
        why: What is wrong, without the name of the file.
        no_space: Its disk is full.
    """

    exit_code = 75

    def __init__(self, path: str, why: str, *, no_space: bool = False) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why
        self.no_space = no_space


class DeviceError(PassingError):
    """The device refused: out of memory that halving could not mend, or the device was lost."""


class CancelError(RestoredError):
    """The answer is not wanted any more; raised inside a model and caught by the device."""


class AccessError(RestoredError):
    """The file system forbids it to this user."""

    exit_code = 77


class ConfigError(RestoredError):
    """A recipe, the settings or the station is wrong: exit 78, mend the file that is named."""

    exit_code = 78
