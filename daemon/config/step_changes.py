"""Keys of a recipe's steps that a person changes on the command line, for one run.

A change is written `KIND.KEY=VALUE`, which changes every step of that kind, or `INDEX.KEY=VALUE`,
with the number of a step as messages count them: `steps[0]` is the first. The changed recipe is
validated as a file is, so that what is wrong is said in the same words.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from daemon.config.error_messages import explain, suggestion
from daemon.config.model_reference import absolute_reference
from daemon.config.recipe import Recipe
from daemon.config.steps import BaseStep, Step
from daemon.system.errors import UsageError
from daemon.system.toml_files import parse_toml

_CHANGE = re.compile(r"(?P<step>[^.=\s]+)\.(?P<key>[^.=\s]+)\s*=(?P<value>.*)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z~./][\w./:~-]*")
"""A text that may stand without quotes, such as gaussian: the shell takes quotes away."""


def with_step_changes(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The recipe with some keys of its steps changed.

    Args:
        recipe: The recipe.
        changes: Such as "denoise.realism=0.5"; of two for one key the later holds. VALUE is TOML; a
            single word is text without quotes. A relative path of a model starts at the current
            folder.

    Raises:
        UsageError: A change is no such text, names a step that the recipe lacks, or sets a key or
            value that the step does not allow.
    """
    if not changes:
        return recipe
    values = recipe.model_dump(exclude_unset=True)
    values["steps"] = [_said(step) for step in recipe.steps]
    for change in changes:
        found = _CHANGE.fullmatch(change)
        if found is None:
            raise UsageError(f"--set {change}: write KIND.KEY=VALUE, such as denoise.realism=0.5")
        value = _value(change, found["value"])
        for index in _steps_named(recipe, found["step"], change):
            values["steps"][index][found["key"]] = value
    try:
        changed = Recipe.model_validate(values)
    except ValidationError as error:
        source = f"recipe {recipe.name}"
        raise UsageError(explain(source, error, Recipe)) from error
    here = changed.with_models(lambda model: absolute_reference(model, Path.cwd()))
    return recipe.model_copy(update={"steps": here.steps})


def changes_of_keys(recipe: Recipe, values: Mapping[str, object]) -> list[str]:
    """The changes that give keys their values in every step of a recipe that knows them.

    Args:
        recipe: The recipe.
        values: Numbers by key; None leaves a key as it is.

    Raises:
        UsageError: No step of the recipe knows a key.
    """
    changes = []
    for key, value in values.items():
        if value is None:
            continue
        at = [i for i, step in enumerate(recipe.steps) if key in type(step).model_fields]
        if not at:
            fits = ", ".join(_kinds_with(key))
            raise UsageError(f"--{key}: recipe {recipe.name} has no step for it; it is for {fits}")
        changes += [f"{index}.{key}={value}" for index in at]
    return changes


def _said(step: BaseStep) -> dict[str, object]:
    """The keys that a step sets; not its model where that is the one it has anyway."""
    values = step.model_dump(exclude_unset=True)
    if step.model == type(step).model_fields["model"].default:
        values.pop("model", None)
    return values


def _kinds_with(key: str) -> list[str]:
    """The kinds of steps that know a key."""
    kinds: tuple[type[BaseStep], ...] = get_args(get_args(Step)[0])
    return [str(k.model_fields["kind"].default) for k in kinds if key in k.model_fields]


def _steps_named(recipe: Recipe, name: str, change: str) -> list[int]:
    kinds = [step.kind for step in recipe.steps]
    at = [index for index, kind in enumerate(kinds) if name in (kind, str(index))]
    if not at:
        there = ", ".join(f"{index} ({kind})" for index, kind in enumerate(kinds))
        hint = suggestion(name, kinds)
        raise UsageError(f"--set {change}: the steps of recipe {recipe.name} are {there}{hint}")
    return at


def _value(change: str, text: str) -> object:
    word = text.strip()
    try:
        values = parse_toml(f"value = {word}")
    except (ValueError, RecursionError, UsageError) as error:
        if _WORD.fullmatch(word):
            return word
        raise UsageError(
            f'--set {change}: {word!r} is no TOML value; write text in "quotes", numbers, true '
            "and false without"
        ) from error
    if list(values) != ["value"]:
        raise UsageError(f"--set {change}: give one value")
    return values["value"]
