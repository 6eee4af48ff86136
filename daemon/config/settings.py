"""Settings: `restored.toml` of the station, overridden by RESTORED_* in the environment.

Comes in: a station's folder and the environment, read once. Goes out: one frozen `Settings`, or a
`ConfigError` that names the file, the key and the value.
"""

import contextlib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from daemon.config.model_reference import absolute_reference, valid_reference
from daemon.config.validation import close_match, explain
from daemon.system.errors import ConfigError

STATION_VARIABLE = "RESTORED_STATION"
"""Names the station's folder for the commands; it is no setting."""

CONFIG_VARIABLE = "RESTORED_CONFIG"
"""Names the folder of restored.toml and recipes/, if not the station's; it is no setting either."""

_PREFIX = "RESTORED_"

_NO_SETTINGS = (STATION_VARIABLE, CONFIG_VARIABLE)

Originals = Literal["archive", "delete", "leave"]


class Watch(BaseModel):
    """A folder outside the station that is an inbox too."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(description="Folder to watch, with all below it.")
    recipe: str = Field(description="Recipe for what lies in it.")
    outbox: Path = Field(description="Folder for its results.")
    originals: Originals = Field("archive", description="What becomes of the originals.")
    polled: bool | Literal["auto"] = Field(
        "auto", description="Scan instead of events; `auto` polls network file systems."
    )


def _cache_folder() -> Path:
    """Of the service where systemd runs it, of the user elsewhere; the same for all stations."""
    service = os.environ.get("CACHE_DIRECTORY")
    if service:
        return Path(service.split(":")[0]) / "models"
    user = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(user) / "restored" / "models"


class Settings(BaseSettings):
    """Every setting of a station, with its default."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="forbid")

    # Intake
    settle_s: float = Field(2, ge=0, description="Unchanged for so long = complete.")
    settle_polled_s: float = Field(10, ge=0, description="The same for polled folders.")
    rescan_s: float = Field(60, gt=0, description="Between scans that find what events missed.")
    pair_wait_s: float = Field(3600, ge=0, description="A half alone so long is reported.")
    arriving_s: float = Field(
        30, ge=0, description="A file that ends early and changed within this is still arriving."
    )
    watch: tuple[Watch, ...] = ()
    originals: Originals = Field("archive", description="What becomes of finished originals.")
    state_dir: Path | None = Field(
        None, description="Where .restored lies; must be local if the station is on a network."
    )

    logs_dir: Path | None = Field(None, description="Where the job log lies, if not in logs/.")

    # Housekeeping
    keep_archive_days: float | None = Field(
        None, gt=0, description="Archived originals are removed after so long."
    )
    keep_archive_gb: float | None = Field(
        None, ge=0, description="Beyond so much, the oldest archived originals are removed."
    )
    keep_free_gb: float | None = Field(
        None, gt=0, description="While less is free, the oldest archived originals are removed."
    )
    keep_logs_days: float | None = Field(365, gt=0, description="Files of the job log.")
    keep_ledger_days: float | None = Field(
        365, gt=0, description="Ended jobs whose originals are not in the archive."
    )

    # Photographs
    max_file_mb: float = Field(2000, gt=0)
    max_input_megapixels: float = Field(250, gt=0)
    max_output_megapixels: float = Field(500, gt=0)

    # Output
    file_mode: str = Field("0644", pattern=r"^0?[0-7]{3}$", description="Mode of results, octal.")
    group: str | None = Field(None, description="Group of results and of the station's state.")
    umask: str = Field("0022", pattern=r"^0?[0-7]{3}$", description="For folders, octal.")

    # Work
    device: str = Field("auto", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")
    threads: int | None = Field(None, ge=1, description="CPU threads of the network.")
    memory_mb: int | None = Field(None, ge=256, description="For photographs in flight.")
    clip_model: Annotated[str, AfterValidator(valid_reference)] | None = Field(
        None, description="CLIP model for [match] looks_like, such as a folder; off if not set."
    )
    models_dir: Path = Field(
        default_factory=_cache_folder, description="Where `restored models pull` puts models."
    )
    model_memory_mb: int | None = Field(
        None, ge=64, description="For models that stay loaded on the device."
    )
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto", description="Precision of models; `auto` takes what the device is fastest with."
    )
    offload: Literal["none", "model", "group"] = Field(
        "none",
        description="Keep whole components (`model`) or layers (`group`) of a checkpoint in the "
        "machine's memory while the device does not need them.",
    )
    compile: bool = Field(
        False, description="Compile checkpoints: the first picture of each size takes minutes."
    )
    attention: str | None = Field(
        None, description="Attention backend, by diffusers' name, such as `flash` or `native`."
    )
    attempts: int = Field(3, ge=1, description="Before a passing fault counts as failed.")
    retry_s: float = Field(10, ge=0, description="First wait after a passing fault; it doubles.")
    min_free_mb: float = Field(200, ge=0, description="Intake waits while less is free.")
    drain_s: float = Field(20, ge=0, description="For work in flight when the daemon stops.")
    stall_s: float = Field(
        900, gt=0, description="A worker that takes no step for so long is not alive to systemd."
    )
    alive_file: Path | None = Field(
        None, description="Touched every 5 s while the daemon gets on, for health checks."
    )

    # Who watches
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="/metrics, /livez and /readyz; 0 is any; off if not set."
    )
    metrics_address: str = Field(
        "127.0.0.1", min_length=1, description="Of the interface they are served on."
    )
    notify: tuple[SecretStr, ...] = Field(
        (), description="URLs of apprise that are told of trouble."
    )
    notify_file: Path | None = Field(None, description="A file with more of them, one a line.")
    notify_quiet_s: float = Field(
        3600, ge=0, description="Messages of one kind are that far apart; the rest is summed up."
    )
    notify_failures_per_hour: int = Field(10, ge=0, description="More are worth a message.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings


def config_folder(root: Path) -> Path:
    """Where the settings and the user's own recipes of the station in `root` lie.

    Raises:
        ConfigError: The environment names a folder that is not there.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named and not Path(named).is_dir():
        raise ConfigError(
            f"{CONFIG_VARIABLE}: {named} is no folder; make it, or unset the variable"
        )
    return Path(named or root)


def load_settings(path: Path = Path(os.devnull)) -> Settings:
    """Read a settings file (it may be absent) and the environment, which wins.

    Raises:
        ConfigError: A key or value is wrong, in the file or in the environment.
    """
    origins = _environment()
    values = _read(path)
    if isinstance(clip := values.get("clip_model"), str):
        with contextlib.suppress(ConfigError):  # refused below, with its key
            values["clip_model"] = absolute_reference(clip, path.parent)
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(explain(path, error, Settings, origins)) from error
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; lists and tables are written as JSON") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a readable TOML file: {error}") from error


def _environment() -> dict[str, str]:
    """Settings that the environment gives: the key and the variable it comes from.

    Raises:
        ConfigError: A RESTORED_ variable is no setting: misspelt, it would change nothing unseen.
    """
    keys = list(Settings.model_fields)
    origins: dict[str, str] = {}
    wrong: list[str] = []
    for variable in sorted(os.environ):
        if not variable.startswith(_PREFIX) or variable in _NO_SETTINGS:
            continue
        key = variable.removeprefix(_PREFIX).lower()
        if key in keys:
            origins[key] = variable
        else:
            known = [_PREFIX + key.upper() for key in keys]
            wrong.append(f"{variable} is not a setting{close_match(variable, known)}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return origins
