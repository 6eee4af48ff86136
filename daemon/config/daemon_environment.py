"""The environment of a station's daemon, kept for commands that people type.

A unit, a container or a login sets variables that a command elsewhere lacks: it would look for
models, logs and the ledger in other places than the daemon. So a daemon that starts writes down
which settings its environment has, and commands read that below their own environment. Secrets are
left out.
"""

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from daemon.system.json_files import read_json, write_whole

FILE_NAME = ".restored-environment.json"
"""Name of the file in the station's folder, which is found whatever the settings say."""


def write_environment(root: Path, variables: Mapping[str, str]) -> None:
    """Keep the variables of the daemon that starts; without any, nothing is kept.

    A station whose folder may not be written is left as it is: only commands see less then.
    """
    path = root / FILE_NAME
    with contextlib.suppress(OSError):
        if variables:
            write_whole(path, dict(variables))
        else:
            path.unlink(missing_ok=True)


def read_environment(root: Path) -> dict[str, str]:
    """The variables that the station's daemon had at its last start; none if that is not known."""
    try:
        found = read_json(root / FILE_NAME)
    except Exception:  # a parser may raise what it likes
        return {}
    if not isinstance(found, dict):
        return {}
    return {key: value for key, value in found.items() if isinstance(value, str)}


def variables_of(names: Collection[str]) -> dict[str, str]:
    """Those of this process's variables that are among the names."""
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}


def parsed(value: str, *, is_list: bool) -> object:
    """A variable's value as a settings file would give it: lists are JSON."""
    return json.loads(value) if is_list else value
