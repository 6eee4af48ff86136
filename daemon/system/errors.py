"""The program's errors, named by what the operator does next. No other module defines any.

A message says what happened, to which file, what was expected, and how to fix it. Any other
exception is a bug: the job fails with its traceback, and the service lives on.
"""


class RestoredError(Exception):
    """Base of the errors that are meant to be read by a person.

    Attributes:
        exit_code: The sysexits code with which a command ends when this error reaches it.
    """

    exit_code = 70


class UsageError(RestoredError):
    """A command line or a request makes no sense: correct it and ask again."""

    exit_code = 64


class PhotoError(RestoredError):
    """The photograph itself is at fault: it is rejected with this reason and not tried again.

    Attributes:
        photo: The name that the person gave the file; "" where the code that raises knows none.
        why: What is wrong, and what was expected.
        remedy: What to do; "" if `why` already tells.
    """

    exit_code = 65

    def __init__(self, photo: str, why: str, remedy: str = "") -> None:
        # Exception pickles its arguments and calls the class with them again.
        super().__init__(photo, why, remedy)
        self.photo = photo
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        """The message, "PHOTO: WHY; REMEDY"."""
        return photo_message(self.photo, self.why, self.remedy)


class TruncatedError(PhotoError):
    """The file ends early: it is damaged, or has not arrived whole yet."""


def photo_message(photo: str, why: str, remedy: str) -> str:
    """The fields of a `PhotoError` as text, "PHOTO: WHY; REMEDY", without those that are ""."""
    text = f"{why}; {remedy}" if remedy else why
    return f"{photo}: {text}" if photo else text


class CannotWriteError(RestoredError):
    """A result, a record or a folder cannot be written where it was asked for."""

    exit_code = 73


class BusyError(RestoredError):
    """Another process holds what is needed, such as another daemon on the same station."""

    exit_code = 75


class PassingError(RestoredError):
    """A fault that may pass by itself, such as no space or no memory: it is tried again."""

    exit_code = 75


class LedgerError(RestoredError):
    """The ledger cannot be read or written now: its disk is full or away, or it is locked.

    Attributes:
        why: What is wrong, without the name of the file.
        no_space: Its disk is full.
        locked: Another program holds it, such as a backup.
    """

    exit_code = 75

    def __init__(
        self, path: str, why: str, *, no_space: bool = False, locked: bool = False
    ) -> None:
        super().__init__(f"{path}: {why}")
        self.why = why
        self.no_space = no_space
        self.locked = locked


class DeviceError(PassingError):
    """The device failed: it ran out of memory even for half batches, or it was lost.

    Attributes:
        model: Reference of the model for which it has too little memory, or "".
    """

    def __init__(self, message: str, *, model: str = "") -> None:
        super().__init__(message)
        self.model = model


class ModelError(RestoredError):
    """A model gives what cannot be right: verify it, compute in more bits, or take another.

    Attributes:
        model: Its reference.
        why: What it gave.
    """

    def __init__(self, model: str, why: str) -> None:
        super().__init__(model, why)
        self.model = model
        self.why = why

    def __str__(self) -> str:
        """The message."""
        return (
            f"model {self.model}: {self.why}; nothing was published; run `restored models verify`, "
            'or set dtype = "fp32" in restored.toml'
        )


class UnusableModelError(RestoredError):
    """A model cannot be loaded, whatever it is to be used for.

    Attributes:
        model: Its reference.
    """

    exit_code = 78

    def __init__(self, model: str, why: str) -> None:
        super().__init__(model, why)
        self.model = model
        self.why = why

    def __str__(self) -> str:
        """The message."""
        return self.why


class CancelError(RestoredError):
    """A forward pass is not wanted any more: raised in a model, caught by the device."""


class AccessError(RestoredError):
    """The file system forbids something to this user: correct owner or mode."""

    exit_code = 77


class ConfigError(RestoredError):
    """A recipe, a setting or the station is wrong: correct the file that is named."""

    exit_code = 78
