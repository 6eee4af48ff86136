"""A recipe as text for people: what it takes, what it does, and its file."""

from collections.abc import Iterator

from pydantic import BaseModel

from daemon.cli.text_layout import wrapped
from daemon.config.conditions import Condition
from daemon.config.key_descriptions import toml_value
from daemon.config.recipe import Recipe
from daemon.config.schedule import Schedule
from daemon.config.steps import Step
from daemon.system.files import shown

_INDENT = 10
"""Cells before the text of a fact, its label included."""


def recipe_lines(recipe: Recipe, width: int) -> list[str]:
    """Lines that tell of a recipe, then those of its file.

    Args:
        recipe: The recipe.
        width: Cells of a line; those of the file stay as they are.
    """
    lines = wrapped(f"{recipe.name}: {recipe.about}" if recipe.about else recipe.name, width)
    for label, text in _facts(recipe):
        lines += wrapped(f"{f'  {label}':{_INDENT}}{text}", width, " " * _INDENT)
    if recipe.file is not None:
        lines += ["", *recipe.file.read_text("utf-8").rstrip().splitlines()]
    return lines


def _facts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Label and text of each line below the first."""
    what = "files of prompts" if recipe.generates else "photographs"
    what = "pairs of photographs" if recipe.photos == 2 else what
    places = [f"inbox/{recipe.name}/"] + ["inbox/ itself"] * recipe.match.takes_plain_inbox
    yield "takes", f"{what} in {' and in '.join(places)}"
    if said := _said(recipe.match, leave_out=("plain_inbox",)):
        yield "only", said
    if recipe.side_files:
        names = ", ".join(f"NAME.{role}.png" for role in recipe.side_files)
        yield "reads", f"{names} beside the photograph" + " (needed)" * recipe.needs_mask
    for number, step in enumerate(recipe.steps):
        yield f"step {number}", _step(step)
    yield "writes", _said(recipe.output) or "in the format and depth of the photograph"
    if recipe.schedule != Schedule():
        yield "starts", _said(recipe.schedule)
    if recipe.file is not None:
        yield "file", shown(recipe.file)


def _step(step: Step) -> str:
    keys = _said(step, leave_out=("kind", "when", "model"))
    named = step.model if step.model != type(step).model_fields["model"].default else ""
    parts = [step.kind, keys, f"model = {toml_value(named)}" if named else ""]
    text = ", ".join(filter(None, parts))
    return text + (f", if {' or '.join(map(_condition, step.when))}" if step.when else "")


def _condition(condition: Condition) -> str:
    return " and ".join(_pairs(condition))


def _said(model: BaseModel, leave_out: tuple[str, ...] = ()) -> str:
    """The keys that a table sets, such as "grey = true, max_megapixels = 60"; "" for none."""
    return ", ".join(_pairs(model, leave_out))


def _pairs(model: BaseModel, leave_out: tuple[str, ...] = ()) -> list[str]:
    values = model.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    return [
        f"{key} = {toml_value(_shortened(value))}"
        for key, value in values.items()
        if key not in leave_out
    ]


def _shortened(value: object) -> object:
    """A number as people write it: 4 for 4.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
