"""The languages of the page: catalogues of messages as gettext has them, one `.po` file each.

English is what stands in templates and modules. The files are read as they are, so that a
translator needs nothing but an editor.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent / "locale"

ENGLISH = "en"

_ENTRY = re.compile(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?|)\s*"(.*)"$')
_PART = re.compile(r"\s*([a-zA-Z-]{1,8})(?:-[a-zA-Z0-9]+)*\s*(?:;\s*q=([0-9.]+))?\s*")


@dataclass(frozen=True)
class Language:
    """One language.

    Attributes:
        code: Its code, such as "de".
        messages: What English messages are called in it.
        plurals: Both forms of a message that counts, by its English singular.
    """

    code: str
    messages: Mapping[str, str] = field(default_factory=dict)
    plurals: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def gettext(self, message: str) -> str:
        """A message in this language; in English if it has none."""
        return self.messages.get(message, message)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The form of a message that counts; languages here have two, like English."""
        singular, plural = self.plurals.get(one, (one, many))
        return singular if number == 1 else plural


@cache
def languages() -> dict[str, Language]:
    """Every language by its code, English first."""
    found = {ENGLISH: Language(ENGLISH)}
    for path in sorted(_FOLDER.glob("*.po")):
        found[path.stem] = read_catalogue(path.stem, path.read_text("utf-8"))
    return found


def read_catalogue(code: str, text: str) -> Language:
    """Read a `.po` file: entries of msgid and msgstr, in which text may go on over lines.

    Raises:
        ValueError: A line is none of a catalogue.
    """
    messages: dict[str, str] = {}
    plurals: dict[str, tuple[str, str]] = {}
    for block in re.split(r"\n\s*\n", text):
        parts: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if not line.strip() or line.startswith("#"):
                continue
            found = _ENTRY.match(line.strip())
            if found is None:
                raise ValueError(f"{code}.po: not a line of a catalogue: {line}")
            key = found[1] or key
            parts[key] = parts.get(key, "") + str(ast.literal_eval(f'"{found[2]}"'))
        name = parts.get("msgid", "")
        if not name:
            continue
        if "msgid_plural" in parts:
            plurals[name] = (parts["msgstr[0]"], parts["msgstr[1]"])
        elif parts.get("msgstr"):
            messages[name] = parts["msgstr"]
    return Language(code, messages, plurals)


def chosen_language(said: str, accepted: str) -> Language:
    """The language of a visitor.

    Args:
        said: The one that was chosen on the page; "" for none.
        accepted: The header Accept-Language.
    """
    known = languages()
    if said in known:
        return known[said]
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        if found := _PART.fullmatch(part):
            try:
                wanted.append((-float(found[2] or 1), found[1].lower()))
            except ValueError:
                continue
    for _, code in sorted(wanted, key=lambda one: one[0]):
        if code in known:
            return known[code]
    return known[ENGLISH]
