"""A record in words: what was done to a photograph, one short sentence for each step.

Numbers come from the record's measures; what has no measure is said by the step itself. Notes that
no sentence here replaces follow as the daemon wrote them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from daemon.jobs.record import notes_of
from daemon.photo.notes import NoteKind

_MAX_STEPS = 16
_MAX_NOTES = 20

_NOTICED = 0.5
"""Levels of 255 below which noise would be told as 0."""


def record_in_words(record: Mapping[str, Any], gettext: Callable[[str], str] = str) -> list[str]:
    """Sentences about a result.

    Args:
        record: Its record, of any version, or what somebody put in its place.
        gettext: Translates a sentence; English as it is without it.
    """
    measures: dict[int, dict[str, float]] = {}
    for one in _dicts(record.get("measures")):
        step, value = one.get("step"), one.get("value")
        if isinstance(step, int) and isinstance(value, int | float):
            measures.setdefault(step, {})[str(one.get("name"))] = float(value)
    notes = notes_of(record)
    not_needed = [note for note in notes if note.kind is NoteKind.NOT_NEEDED]
    said: list[str] = []
    guessed = False
    for index, step in enumerate(_dicts(record.get("steps"))[:_MAX_STEPS]):
        kind = str(step.get("kind"))
        if any(note.startswith(f"{kind} was not needed") for note in not_needed):
            said.append(gettext("%(step)s was not needed") % {"step": kind})
            continue
        sentence = _sentence(kind, step, measures.get(index, {}), gettext)
        guessed |= kind == "colorize"
        said.append(sentence)
    told = {NoteKind.NOT_NEEDED, NoteKind.NOTHING_FOUND} | ({NoteKind.GUESS} if guessed else set())
    said += [str(note) for note in notes[:_MAX_NOTES] if note.kind not in told]
    return said


def _sentence(
    kind: str, step: Mapping[str, Any], measured: Mapping[str, float], gettext: Callable[[str], str]
) -> str:
    _ = gettext
    match kind:
        case "denoise":
            if measured.get("noise", 0.0) >= _NOTICED:
                return _("noise of %(levels).0f levels removed") % {"levels": measured["noise"]}
            return _("noise and compression removed")
        case "inpaint":
            return _filled(step, measured, gettext)
        case "colorize":
            if "unsure" in measured:
                unsure = measured["unsure"] * 100
                return _("colours are a guess, unsure in %(share).0f %% of the picture") % {
                    "share": unsure
                }
            return _("colours are a guess")
        case "super-resolve":
            return _("%(times)s times larger") % {"times": step.get("scale", "?")}
        case "unfade":
            left = [v for name, v in measured.items() if name.startswith("contrast_left")]
            if left:
                least = min(left) * 100
                return _("faded dyes brought back: %(share).0f %% of the contrast was left") % {
                    "share": least
                }
            return _("faded dyes brought back")
        case "restyle":
            return _("painted anew with strength %(strength)s") % {
                "strength": step.get("strength", "?")
            }
        case "interpolate":
            return _("pictures between two photographs")
        case "generate":
            return _("made from words")
    return kind


def _filled(
    step: Mapping[str, Any], measured: Mapping[str, float], gettext: Callable[[str], str]
) -> str:
    _ = gettext
    found = bool(step.get("find"))
    filled = measured.get("filled")
    if filled is None:
        return _("damage filled in")
    if filled == 0:
        return _("no scratches found") if found else _("nothing was marked to be filled in")
    share = {"share": filled * 100}
    if found:
        return _("scratches found and filled in: %(share).1f %% of the picture") % share
    return _("marked places filled in: %(share).1f %% of the picture") % share


def _dicts(value: object) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
