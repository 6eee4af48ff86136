"""Names that are no photographs: what editors, browsers, copy programs and systems leave about."""

import fnmatch

_PATTERNS = (
    ".*", "~$*", "*.part", "*.partial", "*.crdownload", "*.download", "*.tmp", "*.filepart",
    "~syncthing~*", "thumbs.db", "desktop.ini", "@eadir", "__macosx", "#recycle", "$recycle.bin",
)  # fmt: skip


def is_ignored(name: str) -> bool:
    """Whether a file or folder of this name is left alone without a word."""
    low = name.lower()
    return any(fnmatch.fnmatchcase(low, pattern) for pattern in _PATTERNS)
