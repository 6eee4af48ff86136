"""Recipes: one TOML file each, which says what is done to which photographs.

A file is validated as a whole. What is wrong becomes a `ConfigError` that names file, key, value
and what is allowed; a bad file is never skipped silently. The descriptions of the keys are what
`docs/recipes.md` prints.
"""

import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from daemon.config.content_features import (
    COLOUR,
    NOISE,
    Feature,
    grey_mismatch,
    likeness_probability,
    noise_mismatch,
)
from daemon.config.error_messages import explain, explain_toml
from daemon.config.model_reference import absolute_reference
from daemon.config.output import Output
from daemon.config.schedule import Schedule
from daemon.config.steps import PROMPT_SUFFIXES, Step
from daemon.system.errors import ConfigError, UsageError
from daemon.system.text import same_name
from daemon.system.toml_files import read_toml

SHIPPED_RECIPES = Path(__file__).parents[1] / "shipped_recipes"
"""Folder of the recipes inside the package."""

_NAMED_SUFFIXES = 8
"""Suffixes that the refusal of a file names, of more than 50."""

PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".jpe", ".jfif", ".mpo", ".apng", ".pdf"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".psd", ".psb", ".hdr", ".exr"),
    *(".tga", ".sgi", ".rgb", ".rgba", ".bw", ".pam", ".pcx", ".dib"),
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".pef"),
    *(".raf", ".orf", ".rw2", ".mrw", ".x3f"),
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".jpx", ".jpf", ".j2k", ".j2c"),
)


_FROZEN = ConfigDict(frozen=True, extra="forbid")

Phrase = Annotated[str, Field(min_length=1, max_length=200)]


class Match(BaseModel):
    """Which photographs a recipe takes. All conditions that are set must hold."""

    model_config = _FROZEN

    suffixes: tuple[str, ...] = Field(
        PHOTO_SUFFIXES,
        description="Endings of file names that the recipe takes, in small or capital letters. "
        "A recipe that begins with `generate` takes `.txt` and `.toml` unless this says "
        "otherwise.",
        examples=[(".jpg", ".tif")],
        json_schema_extra={"allowed": 'a list of endings with their dot, such as [".jpg", ".tif"]'},
    )
    names: tuple[str, ...] = Field(
        (),
        description="Patterns, one of which the file name must fit, in small or capital letters: "
        "`*` stands for any text, `?` for any character, `[ab]` for a or b. Not set: any name.",
        examples=[("scan-*", "*_box12.*")],
        json_schema_extra={"allowed": 'a list of patterns, such as ["scan-*"]'},
    )
    min_megapixels: float = Field(
        0,
        ge=0,
        description="Smallest size that is taken, in millions of pixels.",
        examples=[0.5],
    )
    max_megapixels: float | None = Field(
        None,
        gt=0,
        description="Largest size that is taken, in millions of pixels. Not set: no limit but "
        "the setting `max_input_megapixels`.",
        examples=[30],
    )
    grey: bool | None = Field(
        None,
        description="Whether colour decides. `true` takes photographs without colour, sepia and "
        "yellowed ones included; `false` takes the others. Not set: both.",
        examples=[True],
    )
    noise_above: Annotated[float, Field(ge=0, le=255)] | None = Field(
        None,
        description="Take only photographs with more noise than this, as the deviation in levels "
        "of 0 to 255. Not set: noise does not matter.",
        examples=[8],
    )
    looks_like: Phrase | None = Field(
        None,
        description="What the photograph must show, in English; a CLIP model judges. Needs the "
        "setting `clip_model`. Not set: what it shows does not matter.",
        examples=["a portrait"],
        json_schema_extra={"allowed": "text of 1 to 200 characters"},
    )
    unlike: tuple[Phrase, ...] = Field(
        ("a photograph",),
        min_length=1,
        max_length=32,
        description="With `looks_like`: what the photograph may show instead. 1 to 32 phrases.",
        examples=[("a landscape", "a street")],
        json_schema_extra={"allowed": 'a list of 1 to 32 texts, such as ["a landscape"]'},
    )
    looks_like_above: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="With `looks_like`: the least probability of that phrase, among it and "
        "`unlike`, at which the photograph is taken.",
        examples=[0.8],
    )
    plain_inbox: bool | None = Field(
        None,
        description="Whether the recipe takes photographs that lie in no recipe's folder. Not "
        "set: only if `names`, `grey`, `noise_above` or `looks_like` says which ones.",
        examples=[True],
    )

    @field_validator("suffixes")
    @classmethod
    def _dotted(cls, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        for suffix in suffixes:
            if not suffix.startswith("."):
                raise ValueError(f'contains {suffix!r}; allowed: endings with a dot: ".{suffix}"')
        return tuple(suffix.lower() for suffix in suffixes)

    @model_validator(mode="after")
    def _phrases_fit_together(self) -> "Match":
        if self.looks_like is None:
            for key in ("unlike", "looks_like_above"):
                if key in self.model_fields_set:
                    raise ValueError(f"{key} needs looks_like; set it, or leave {key} out")
        elif self.looks_like in self.unlike:
            raise ValueError(
                f"unlike contains {self.looks_like!r}, which is looks_like; leave it out"
            )
        return self

    @property
    def takes_plain_inbox(self) -> bool:
        """Whether it takes photographs of the plain inbox: if it says so, or says which ones."""
        if self.plain_inbox is not None:
            return self.plain_inbox
        return bool(self.names) or bool(self.features)

    @property
    def features(self) -> tuple[Feature, ...]:
        """Features of the content that must be measured; none if name and size decide."""
        phrases = () if self.looks_like is None else (self.looks_like, *self.unlike)
        return (
            *((COLOUR,) if self.grey is not None else ()),
            *((NOISE,) if self.noise_above is not None else ()),
            *map(Feature.likeness, phrases),
        )

    def content_mismatch(self, answers: Mapping[Feature, float]) -> str | None:
        """Why a photograph of this content does not match, or None if it does.

        Args:
            answers: Values of all `features`.
        """
        if self.grey is not None and (why := grey_mismatch(answers[COLOUR], grey=self.grey)):
            return f"it has {why}"
        if self.noise_above is not None and (why := noise_mismatch(answers, self.noise_above)):
            return f"it has {why}"
        if self.looks_like is not None:
            probability = likeness_probability(answers, self.looks_like, self.unlike)
            if probability < self.looks_like_above:
                return (
                    f"it looks like {self.looks_like!r} with probability {probability:.2f}, "
                    f"below {self.looks_like_above:g}"
                )
        return None


RECIPE_NAME = r"^[a-z0-9][a-z0-9-]{0,63}$"
"""Pattern of a recipe's name; pydantic's $ is the end of the text."""


class Recipe(BaseModel):
    """A recipe: which photographs it takes, and the steps that it does to them."""

    model_config = _FROZEN

    name: str = Field(
        pattern=RECIPE_NAME,
        description="Name of the recipe, of its folder in the inbox and of its folder in the "
        "outbox. Not set: the file's name without `.toml`.",
        examples=["attic"],
        json_schema_extra={
            "allowed": "1 to 64 small letters, digits and hyphens, not starting with a hyphen"
        },
    )
    about: str = Field(
        "",
        description="One line on what the recipe does, which `restored recipes` shows.",
        examples=["Clean the attic's prints, then double them."],
    )
    match: Match = Field(Match(), description="Which photographs it takes.")
    steps: tuple[Step, ...] = Field(
        min_length=1,
        max_length=16,
        description="What is done, in order: 1 to 16 steps, each a `[[steps]]` table.",
    )
    output: Output = Field(Output(), description="How the result is written.")
    schedule: Schedule = Field(Schedule(), description="When its jobs start.")

    _file: Path | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _steps_fit_together(self) -> "Recipe":
        if sum(step.photos > 1 for step in self.steps) > 1:
            raise ValueError("steps: only one step of a recipe may take two photographs")
        for step in self.steps[:-1]:
            if step.kind == "restyle" and step.sweep:
                raise ValueError("steps: a restyle step with a sweep must be the last step")
            if step.kind == "inpaint" and step.mask_only:
                raise ValueError("steps: an inpaint step with mask_only must be the last step")
        for step in self.steps:
            if step.when and (step.photos > 1 or step.kind == "generate"):
                raise ValueError(f"steps: {step.kind} always runs; leave when out")
        if any(step.kind == "generate" for step in self.steps[1:]):
            raise ValueError("steps: generate must be the first step")
        if self.generates and self.photos > 1:
            raise ValueError("steps: after generate no step may take two photographs")
        if self.generates and self.match.features:
            raise ValueError(
                "match: grey, noise_above and looks_like need a photograph, and generate reads "
                "prompts; leave them out"
            )
        for suffix in self.suffixes:
            if (suffix in PROMPT_SUFFIXES) != self.generates:
                reads = PROMPT_SUFFIXES if self.generates else PHOTO_SUFFIXES
                raise ValueError(
                    f"match.suffixes contains {suffix!r}, but {self.steps[0].kind} reads "
                    f"{', '.join(reads)}; leave it out"
                )
        return self

    @property
    def file(self) -> Path | None:
        """The file it was read from; None if it was made otherwise."""
        return self._file

    @property
    def source(self) -> str:
        """The file it was read from, else its name: what messages about it begin with."""
        return f"recipe {self.name}" if self._file is None else str(self._file)

    @property
    def generates(self) -> bool:
        """Whether it reads prompt files instead of photographs."""
        return self.steps[0].kind == "generate"

    @property
    def photos(self) -> int:
        """How many photographs one job takes: 1, or 2 for pairs."""
        return max(step.photos for step in self.steps)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Endings of file names it takes: those of its [match], else those its first step reads."""
        said = "suffixes" in self.match.model_fields_set
        return PROMPT_SUFFIXES if self.generates and not said else self.match.suffixes

    @property
    def side_files(self) -> tuple[str, ...]:
        """The side files its steps read: "hints" and "mask", as in NAME.hints.png."""
        if self.generates:
            return ()
        hints = any(step.kind == "colorize" and step.hints for step in self.steps)
        mask = any(
            step.kind == "inpaint" or (step.kind == "restyle" and step.mask) for step in self.steps
        )
        return ("hints",) * hints + ("mask",) * mask

    @property
    def needs_mask(self) -> bool:
        """Whether a photograph waits until its NAME.mask.png is there."""
        return any(step.kind == "inpaint" and not step.find for step in self.steps)

    @property
    def models(self) -> tuple[str, ...]:
        """References to the models that its steps may call, each once, in order."""
        return tuple(dict.fromkeys(model for step in self.steps for model in step.models))

    def with_models(self, renamed: Callable[[str], str]) -> "Recipe":
        """The same recipe with each reference to a model replaced by `renamed(reference)`."""
        steps = tuple(step.with_models(renamed) for step in self.steps)
        return self.model_copy(update={"steps": steps})

    @property
    def digest(self) -> str:
        """Sha256 of what it does to pixels; `about`, `match` and `schedule` do not count."""
        meaning: dict[str, object] = {"name": self.name, "output": self.output.meaning}
        meaning["steps"] = [step.meaning for step in self.steps]
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    def mismatch(self, name: str, megapixels: float, *, any_suffix: bool = False) -> str | None:
        """Why a photograph of this file name and size does not match, or None if it does.

        Args:
            name: Its file name.
            megapixels: Its size.
            any_suffix: Only suffixes that its [match] names count, not those of all photographs.
        """
        match = self.match
        low = same_name(name).lower()
        free = any_suffix and "suffixes" not in match.model_fields_set
        if not (free or low.endswith(self.suffixes)):
            return f"its name ends with none of {_named(self.suffixes)}"
        if match.names and not any(fnmatch.fnmatch(low, same_name(p).lower()) for p in match.names):
            return f"its name fits none of {', '.join(match.names)}"
        if megapixels < match.min_megapixels:
            return f"it has {megapixels:.2f} megapixels, fewer than {match.min_megapixels}"
        if match.max_megapixels is not None and megapixels > match.max_megapixels:
            return f"it has {megapixels:.2f} megapixels, more than {match.max_megapixels}"
        return None


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file; relative paths of models in it start at its folder.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or is not a valid recipe.
    """
    try:
        values = read_toml(path)
    except (OSError, ValueError, RecursionError, UsageError) as error:
        raise ConfigError(f"{path}: {explain_toml(error)}") from error
    values.setdefault("name", path.stem)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(path, error, Recipe)) from error
    try:
        recipe.schedule.check_zone()
    except ConfigError as error:
        raise ConfigError(f"{path}: schedule: {error}") from error
    recipe._file = path
    return recipe.with_models(lambda model: absolute_reference(model, path.parent))


def load_recipes(folders: Iterable[Path]) -> tuple[Recipe, ...]:
    """Read every `*.toml` file of some folders; of two recipes of one name the later folder's wins.

    Returns:
        The recipes, sorted by name.

    Raises:
        ConfigError: A file is wrong (every wrong one is named), or two files of one folder have
            the same name.
    """
    found: dict[str, Recipe] = {}
    wrong: list[str] = []
    for folder in folders:
        here: dict[str, Path] = {}
        for path in sorted(folder.glob("*.toml")):
            try:
                recipe = read_recipe(path)
            except ConfigError as error:
                wrong.append(str(error))
                continue
            if recipe.name in here:
                wrong.append(f"{path}: name {recipe.name!r} is also that of {here[recipe.name]}")
            here[recipe.name] = path
            found[recipe.name] = recipe
    if wrong:
        raise ConfigError("\n".join(wrong))
    return tuple(found[name] for name in sorted(found))


def recipe_named(name: str, recipes: Sequence[Recipe]) -> Recipe:
    """Find a recipe by name.

    Raises:
        ConfigError: There is none of that name.
    """
    for recipe in recipes:
        if recipe.name == name:
            return recipe
    known = ", ".join(recipe.name for recipe in recipes)
    raise ConfigError(f"no recipe is named {name!r}; there are {known}")


def schema() -> dict[str, Any]:
    """JSON Schema of a recipe file, for completion and checks in editors."""
    return Recipe.model_json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "restored recipe",
    }


def _named(suffixes: Sequence[str]) -> str:
    """The first of many suffixes, and how many there are beside them."""
    others = len(suffixes) - _NAMED_SUFFIXES
    first = ", ".join(suffixes[:_NAMED_SUFFIXES])
    return f"{first} and {others} others" if others > 0 else first
