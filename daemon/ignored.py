"""Which names in an inbox are nobody's photograph: half-written, hidden or the system's own.

Comes in: a single name of a file or folder. Goes out: whether it is passed over in silence.
"""

import re

_PATTERN = re.compile(
    r"\..*"  # hidden: also ._*, .syncthing.*, .nfs* and every dotted folder
    r"|~\$.*|~syncthing~.*"
    r"|.*\.(part|crdownload|tmp|filepart)"
    r"|thumbs\.db|desktop\.ini|@eadir|__macosx",
    re.IGNORECASE | re.DOTALL,
)


def ignored(name: str) -> bool:
    """Say whether a file or folder of this name is passed over.

    Args:
        name: One part of a path; undecodable bytes as surrogates.
    """
    return _PATTERN.fullmatch(name) is not None
