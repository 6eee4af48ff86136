"""The lists of keys in `docs/recipes.md` and `docs/settings.md`, written from the models.

People write the text of these pages. Between a line `<!-- keys: NAME -->` and the next
`<!-- /keys -->` stands a list of keys, which this module writes:

    python -m daemon.config.reference --write docs/

Without `--write` it changes nothing and exits with 1 if a list is stale.
"""

import argparse
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from daemon.config.conditions import Condition
from daemon.config.key_descriptions import Key, keys_of
from daemon.config.output import Output
from daemon.config.recipe import Match, Recipe
from daemon.config.schedule import Schedule
from daemon.config.settings import PREFIX, Settings, Watch
from daemon.config.settings_template import SETTING_GROUPS
from daemon.config.steps import BaseStep, Step

PAGES = ("recipes.md", "settings.md")

_LIST = re.compile(r"(?<=<!-- keys: )(?P<name>[^\n]+?) -->\n.*?(?=^<!-- /keys -->)", re.M | re.S)
_CODE = re.compile(r"`[^`]+`")
_WIDTH = 100
_HARD_SPACE = "\0"


def key_lists() -> dict[str, str]:
    """Every list of keys, by the name that its page gives it."""
    common = {key.name for key in keys_of(BaseStep)}
    step_classes = get_args(get_args(Step)[0])
    steps = {
        one.model_fields["kind"].default: [k for k in keys_of(one) if k.name not in common]
        for one in step_classes
    }
    settings = {key.name: key for key in keys_of(Settings)}
    groups = {t: [settings[name] for name in names] for t, names in SETTING_GROUPS.items()}
    tables = {
        "recipe": keys_of(Recipe),
        "every step": keys_of(BaseStep),
        "when": keys_of(Condition),
        **steps,
        "match": keys_of(Match),
        "output": keys_of(Output),
        "schedule": keys_of(Schedule),
        "watch": keys_of(Watch),
    }
    lists = {name: _list(keys) for name, keys in tables.items()}
    return lists | {title: _list(keys, prefix=PREFIX) for title, keys in groups.items()}


def with_current_lists(page: str) -> str:
    """The text of a page with every list of keys as the models say now.

    Raises:
        KeyError: The page names a list that is not known.
    """
    lists = key_lists()
    return _LIST.sub(lambda found: f"{found['name']} -->\n{lists[found['name']]}", page)


def stale_pages(folder: Path) -> dict[Path, str]:
    """The pages whose lists are not current, each with the text that it should have."""
    pages = {folder / name: (folder / name).read_text("utf-8") for name in PAGES}
    current = {path: with_current_lists(text) for path, text in pages.items()}
    return {path: text for path, text in current.items() if text != pages[path]}


def main(words: Sequence[str] | None = None) -> int:
    """Write the lists of keys, or say which pages are stale."""
    parser = argparse.ArgumentParser("daemon.config.reference", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs"))
    parser.add_argument("--write", action="store_true", help="write what is stale")
    given = parser.parse_args(words)
    stale = stale_pages(given.folder)
    for path, text in stale.items():
        print(f"{path}: {'written' if given.write else 'stale; run with --write'}")
        if given.write:
            path.write_text(text, "utf-8")
    return 1 if stale and not given.write else 0


def _list(keys: Sequence[Key], *, prefix: str | None = None) -> str:
    """A list of keys in Markdown."""
    return "\n" + "".join(f"{_entry(key, prefix)}\n" for key in keys) + "\n"


def _entry(key: Key, prefix: str | None) -> str:
    """One key: name, meaning, what is allowed, default, environment variable, an example."""
    default = f"default `{key.default}`" if key.default not in ("", "[]") else "not set"
    facts = [f"Allowed: {key.allowed}", "required" if key.required else default]
    if prefix is not None:
        facts.append(f"variable `{prefix}{key.name.upper()}`")
    example = f"example: `{key.name} = {key.example}`"
    text = f"- **`{key.name}`**: {key.meaning} *{'; '.join([*facts, example])}.*"
    solid = _CODE.sub(lambda code: _unbroken(code[0]), text)
    wrapped = textwrap.fill(
        solid, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
    )
    return wrapped.replace(_HARD_SPACE, " ")


def _unbroken(code: str) -> str:
    """Code that is not broken into lines, unless it is longer than one."""
    return code.replace(" ", _HARD_SPACE) if len(code) < _WIDTH - 2 else code


if __name__ == "__main__":
    sys.exit(main())
