"""Settings: `restored.toml` of the station, overridden by RESTORED_* in the environment.

Commands also read the environment that the station's daemon had, below their own. All is read
once, into one frozen `Settings`; what is wrong becomes a `ConfigError` that names
file or variable, key and value. The descriptions are what `docs/settings.md` prints, and their
first sentences what `init` writes into a new `restored.toml`.
"""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from daemon.config.daemon_environment import parsed, variables_of
from daemon.config.error_messages import explain, explain_toml, suggestion
from daemon.config.model_reference import absolute_reference, valid_reference
from daemon.config.station import STATION_VARIABLE
from daemon.system.errors import ConfigError, UsageError
from daemon.system.toml_files import read_toml

CONFIG_VARIABLE = "RESTORED_CONFIG"
"""Environment variable that names another folder of restored.toml and recipes/; not a setting."""

PREFIX = "RESTORED_"
"""Prefix of the environment variables of settings."""

_NOTHING: Mapping[str, str] = MappingProxyType({})

_OTHER_VARIABLES = (STATION_VARIABLE, CONFIG_VARIABLE)

Originals = Literal["archive", "delete", "leave"]

_DEVICE = r"^(auto|cpu|mps|cuda(:\d+)?)$"

_Devices = Annotated[tuple[Annotated[str, Field(pattern=_DEVICE)], ...], Field(min_length=1)]


class Watch(BaseModel):
    """A folder outside the station that is an inbox too: one `[[watch]]` table each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path = Field(
        description="Folder to watch, with all folders below it.", examples=["/home/anna/scans"]
    )
    recipe: str = Field(
        description="Name of the recipe for every photograph in it.", examples=["old-photo"]
    )
    outbox: Path = Field(description="Folder for the results.", examples=["/home/anna/restored"])
    originals: Originals = Field(
        "archive",
        description="What happens to an original when its result is complete, as the setting "
        "`originals`.",
        examples=["leave"],
    )
    polled: bool | Literal["auto"] = Field(
        "auto",
        description="Whether the folder is scanned instead of waiting for events of the file "
        "system. `auto` scans network file systems, which send none.",
        examples=[True],
    )


def _cache_folder() -> Path:
    """Folder of pulled models: the service's cache under systemd, the user's elsewhere."""
    service = os.environ.get("CACHE_DIRECTORY")
    if service:
        return Path(service.split(":")[0]) / "models"
    user = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(user) / "restored" / "models"


class Settings(BaseSettings):
    """Every setting of a station; `settings_template.SETTING_GROUPS` has the order of manuals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    # Intake
    settle_s: float = Field(
        2,
        ge=0,
        description="Seconds for which a file must not change before it counts as complete. "
        "Raise it for programs that write slowly or in bursts.",
        examples=[5],
    )
    settle_polled_s: float = Field(
        10,
        ge=0,
        description="As `settle_s`, for folders that are scanned, such as network folders. They "
        "are scanned this often.",
        examples=[30],
    )
    rescan_s: float = Field(
        60,
        gt=0,
        description="Seconds between scans of every inbox for files that the file system's "
        "events missed.",
        examples=[300],
    )
    pair_wait_s: float = Field(
        3600,
        ge=0,
        description="Seconds after which `status` reports a half of a pair or a side file that "
        "waits for what belongs to it. It goes on waiting.",
        examples=[600],
    )
    arriving_s: float = Field(
        30,
        ge=0,
        description="Seconds after its last change for which a file that ends too early counts "
        "as still being written. After that it is damaged and goes to `failed/`.",
        examples=[120],
    )
    watch: tuple[Watch, ...] = Field(
        (),
        description="Folders outside the station that are inboxes too, each with its recipe and "
        "its outbox. Not set: only the station's `inbox/`.",
        examples=[
            ({"path": "/srv/scans", "recipe": "old-photo", "outbox": "/srv/restored"},),
        ],
        json_schema_extra={"allowed": "[[watch]] tables"},
    )
    originals: Originals = Field(
        "archive",
        description="What happens to an original when its result is complete. `archive` moves it "
        "to `archive/`; `delete` removes it for good; `leave` leaves it in the inbox, and it is "
        "not restored again until it changes.",
        examples=["leave"],
    )
    state_dir: Path | None = Field(
        None,
        description="Folder of the ledger and of work in progress. It must be on a local disk: "
        "set it if the station is on a network. Not set: `.restored` in the station.",
        examples=["/var/lib/restored-state"],
    )

    logs_dir: Path | None = Field(
        None,
        description="Folder of the job log, one file a day. Not set: `logs` in the station.",
        examples=["/var/log/restored"],
    )

    # Housekeeping
    keep_archive_days: float | None = Field(
        None,
        gt=0,
        description="Days after which archived originals are removed for good. Not set: they "
        "are kept.",
        examples=[90],
    )
    keep_archive_gb: float | None = Field(
        None,
        ge=0,
        description="Size of the archive, in gigabytes, above which the oldest originals are "
        "removed for good. Not set: any size.",
        examples=[500],
    )
    keep_free_gb: float | None = Field(
        None,
        gt=0,
        description="Space in gigabytes that is kept free on the archive's disk by removing the "
        "oldest originals for good. It must be more than `min_free_mb`. Not set: none are "
        "removed.",
        examples=[20],
    )
    keep_logs_days: float | None = Field(
        365,
        gt=0,
        description="Days after which files of the job log are removed.",
        examples=[30],
    )
    keep_ledger_days: float | None = Field(
        365,
        gt=0,
        description="Days after which the ledger forgets finished jobs whose originals are not "
        "in the archive.",
        examples=[90],
    )

    # Photographs
    max_file_mb: float = Field(
        2000,
        gt=0,
        description="Largest file that is read, in megabytes. A larger one goes to `failed/`.",
        examples=[500],
    )
    max_input_megapixels: float = Field(
        250,
        gt=0,
        description="Largest photograph that is read, in millions of pixels. A larger one goes "
        "to `failed/`.",
        examples=[100],
    )
    max_output_megapixels: float = Field(
        500,
        gt=0,
        description="Largest result that is made, in millions of pixels. A photograph whose "
        "result would be larger goes to `failed/`.",
        examples=[200],
    )

    # Output
    file_mode: str = Field(
        "0644",
        pattern=r"^0?[0-7]{3}$",
        description="Permissions of results, as an octal number in quotes.",
        examples=["0640"],
        json_schema_extra={"allowed": 'three octal digits in quotes, such as "0644"'},
    )
    group: str | None = Field(
        None,
        description="Group that owns results and the station's folders. The daemon's user must "
        "be a member of it. Leave it out with the systemd units, whose sandbox forbids it. Not "
        "set: the group of the daemon's user, or of the folder.",
        examples=["photos"],
    )
    umask: str = Field(
        "0022",
        pattern=r"^0?[0-7]{3}$",
        description="Permissions that new folders do not get, as an octal number in quotes. "
        '"0002" lets the group write in `inbox/` and the folder of requests, and nowhere else.',
        examples=["0002"],
        json_schema_extra={"allowed": 'three octal digits in quotes, such as "0022"'},
    )

    # Work
    device: str = Field(
        "auto",
        pattern=_DEVICE,
        description="Device that the networks run on: `auto`, `cpu`, `mps`, `cuda`, or `cuda:1` "
        "and so on for one of several GPUs. `auto` takes an NVIDIA GPU if there is one, else an "
        "Apple GPU, else the CPU.",
        examples=["cuda:1"],
        json_schema_extra={"allowed": "auto, cpu, cuda, cuda:0, cuda:1 and so on, or mps"},
    )
    devices: Literal["auto", "all"] | _Devices = Field(
        "auto",
        description="Devices of the daemon's workers, one worker each: `auto` for one worker on "
        '`device`, `all` for one on every NVIDIA GPU, or a list such as `["cuda:0", '
        '"cuda:1"]`. The workers share `threads` and `memory_mb`. A device may be named twice.',
        examples=[("cuda:0", "cuda:1")],
        json_schema_extra={"allowed": "auto, all, or a list of devices as in `device`"},
    )
    executor: Literal["process", "ray"] = Field(
        "process",
        description="Where photographs are restored: `process` for worker processes on this "
        "machine, `ray` for workers on the machines of a Ray cluster (see cluster.md). Needs the "
        "extra `restored[ray]`.",
        examples=["ray"],
    )
    ray_address: str = Field(
        "auto",
        pattern=r"^(auto|[^/]+:\d+)$",
        description="Address of the cluster's head. `auto` is the cluster that a node on this "
        "machine belongs to; there must be one in any case.",
        examples=["10.0.0.1:6379"],
        json_schema_extra={"allowed": "auto, or a host and a port"},
    )
    ray_workers: int | None = Field(
        None,
        ge=1,
        description="How many workers the cluster has at most. Those for which it has no room yet "
        "wait for it. Not set: one for every GPU that it has when the daemon starts or, without "
        "GPUs, one for every machine.",
        examples=[4],
    )
    ray_gpus_per_worker: float = Field(
        1,
        ge=0,
        description="GPUs of each worker on the cluster; a share such as 0.5 lets two have one. 0 "
        "is for machines without GPUs: each worker takes one of the CPUs that Ray counts.",
        examples=[0],
    )
    files: Literal["send", "shared"] = Field(
        "send",
        description="How the cluster's machines get photographs. `send` sends them and their "
        "results. `shared`: every machine has the station's disk mounted by the same path.",
        examples=["shared"],
    )
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads of the networks. Not set: all cores that the daemon may use, "
        "a quota of its control group included.",
        examples=[4],
    )
    memory_mb: int | None = Field(
        None,
        ge=256,
        description="Memory for photographs in flight, in megabytes (MiB). Not set: half of what "
        "is free, a limit of the control group included.",
        examples=[4096],
    )
    clip_model: Annotated[str, AfterValidator(valid_reference)] | None = Field(
        None,
        description="CLIP model that judges `looks_like` in a recipe's [match]: a pulled model "
        "or a folder. A relative path starts at the folder of `restored.toml`. Not set: recipes "
        "cannot use `looks_like`.",
        examples=["openai/clip-vit-base-patch32"],
        json_schema_extra={
            "allowed": 'a Hub id such as "org/name" or "org/name@revision", or the path of a folder'
        },
    )
    models_dir: Path = Field(
        default_factory=_cache_folder,
        description="Folder of models that `restored models pull` fetches. Not set: "
        "`$CACHE_DIRECTORY/models` under systemd, else `~/.cache/restored/models`.",
        examples=["/srv/models"],
    )
    model_memory_mb: int | None = Field(
        None,
        ge=64,
        description="Memory for models that stay loaded, in megabytes (MiB). Not set: 70 % of a "
        "GPU's memory; on the CPU 30 % of what is free.",
        examples=[8000],
    )
    dtype: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        "auto",
        description="Precision of models. `auto` takes what the device is fastest with: `bf16` if "
        "it multiplies in it, else `fp16` on an NVIDIA GPU and `fp32` elsewhere.",
        examples=["fp32"],
    )
    offload: Literal["none", "model", "group"] = Field(
        "none",
        description="Which parts of a checkpoint are kept in the machine's memory while the GPU "
        "does not need them. `model`: whole components. `group`: layers, which needs the least "
        "memory of the GPU and is slowest.",
        examples=["model"],
    )
    compile: bool = Field(
        False,
        description="Whether checkpoints are compiled. They run faster, and the first picture of "
        "each size takes minutes.",
        examples=[True],
    )
    attention: str | None = Field(
        None,
        description="Attention backend, by the name that diffusers gives it; it must be "
        "installed. Not set: diffusers' own choice.",
        examples=["flash"],
    )
    attempts: int = Field(
        3,
        ge=1,
        description="How many times a job is tried when faults occur that may pass. Then the "
        "photograph goes to `failed/`.",
        examples=[5],
    )
    retry_s: float = Field(
        10,
        ge=0,
        description="Seconds of the first wait after a fault that may pass. Each further wait is "
        "twice as long.",
        examples=[60],
    )
    min_free_mb: float = Field(
        200,
        ge=0,
        description="Free disk space, in megabytes, below which no photograph is taken in. What "
        "is in the inbox waits.",
        examples=[1000],
    )
    drain_s: float = Field(
        20,
        ge=0,
        description="Seconds that work in flight is given to finish when the daemon stops. The "
        "rest goes back to the queue. A service manager must wait 30 s longer.",
        examples=[60],
    )
    stall_s: float = Field(
        900,
        gt=0,
        description="Seconds without a step of the worker after which the daemon replaces it. "
        "Until another one reports, systemd and health checks are not told that all is well.",
        examples=[1800],
    )
    alive_file: Path | None = Field(
        None,
        description="File that is touched every 5 s while the daemon and its worker make "
        "progress, for the health check of a container. Not set: none.",
        examples=["/tmp/restored.alive"],
    )

    # Monitoring
    log_level: Literal["info", "warning", "error"] = Field(
        "info",
        description="Least serious events that the log of `run` and `once` has. `warning` leaves "
        "out the lines about photographs that went well, which the job log has as well.",
        examples=["warning"],
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of `/metrics` (Prometheus), `/livez` and `/readyz`. 0 takes any free "
        "port. Not set: nothing is served.",
        examples=[9640],
    )
    metrics_address: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of the network interface that metrics are served on. The default is "
        "reached from this machine only; 0.0.0.0 stands for every interface.",
        examples=["0.0.0.0"],
        json_schema_extra={"allowed": "an address of this machine"},
    )

    # The page
    web_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of the page in a browser. The daemon starts it as a process of its own; "
        "`restored web` serves it without one. Needs the extra `restored[web]`. Not set: the "
        "daemon serves no page.",
        examples=[8080],
    )
    web_address: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of the network interface that the page is served on. The default is "
        "reached from this machine only. At any other address the page asks for a token.",
        examples=["0.0.0.0"],
        json_schema_extra={"allowed": "an address of this machine"},
    )
    web_hosts: tuple[str, ...] = Field(
        (),
        description="Names by which browsers call the page, beside `localhost`, the name of this "
        "machine and addresses of numbers. Any other name is refused, so that no page elsewhere "
        "can reach this one through its own name.",
        examples=[("photos.example.org",)],
        json_schema_extra={"allowed": 'a list of names, such as ["photos.example.org"]'},
    )
    web_token_file: Path | None = Field(
        None,
        description="File of the token that the page asks for; nobody but its owner may open it. "
        "Not set: `web-token` in `.restored`, which is made with a new token.",
        examples=["/etc/restored/web-token"],
    )
    web_proxies: tuple[str, ...] = Field(
        (),
        description="Addresses of proxies that may vouch for visitors with `web_user_header`.",
        examples=[("127.0.0.1",)],
        json_schema_extra={"allowed": 'a list of IP addresses, such as ["127.0.0.1"]'},
    )
    web_user_header: str = Field(
        "",
        pattern=r"^[A-Za-z0-9-]*$",
        description="Header in which a proxy of `web_proxies` names a visitor who has signed in "
        "there; such a visitor needs no token. The proxy must remove it from what visitors send.",
        examples=["X-Remote-User"],
        json_schema_extra={"allowed": "the name of a header"},
    )
    web_roots: tuple[Path, ...] = Field(
        (),
        description="Folders below which folders may be submitted as bulk jobs on the page. Not "
        "set: none.",
        examples=[("/mnt/scans",)],
        json_schema_extra={"allowed": 'a list of folders, such as ["/mnt/scans"]'},
    )

    # Messages
    notify: tuple[SecretStr, ...] = Field(
        (),
        description="Addresses of people who are told of trouble, as URLs of apprise. They are "
        "secrets and are never shown. Needs the extra `restored[notify]`. Not set: nobody is "
        "told.",
        examples=[("mailtos://user:password@example.org",)],
        json_schema_extra={"allowed": 'a list of URLs, such as ["mailtos://…"]'},
    )
    c2pa_certificate: Path | None = Field(
        None,
        description="File of the certificate with which results are signed (content credentials, "
        "C2PA), in PEM, followed by those that vouch for it. Needs the extra `restored[c2pa]` and "
        "`c2pa_key`. Not set: results are not signed.",
        examples=["/etc/restored/certificate.pem"],
    )
    c2pa_key: Path | None = Field(
        None,
        description="File of the private key of `c2pa_certificate`, in PEM without a password: "
        "P-256, P-384, P-521, Ed25519 or RSA. Nobody but its owner and group may open it. Not set: "
        "results are not signed.",
        examples=["/etc/restored/key.pem"],
    )
    notify_file: Path | None = Field(
        None,
        description="File with more addresses to notify, one on a line, so that secrets stay out "
        "of `restored.toml`. Not set: none.",
        examples=["/etc/restored/notify"],
    )
    notify_quiet_s: float = Field(
        3600,
        ge=0,
        description="Seconds between two messages of one kind. What happens meanwhile is summed "
        "up in the next one.",
        examples=[600],
    )
    notify_failures_per_hour: int = Field(
        10,
        ge=0,
        description="How many photographs may fail within an hour before a message is sent.",
        examples=[50],
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file's values."""
        return env_settings, init_settings


def config_folder(root: Path, recorded: Mapping[str, str] = _NOTHING) -> Path:
    """Folder of the settings and of the user's own recipes, for the station in `root`.

    Args:
        root: The station's folder.
        recorded: Variables of the station's daemon, below those of this process.

    Raises:
        ConfigError: The environment names a folder that does not exist.
    """
    named = os.environ.get(CONFIG_VARIABLE, recorded.get(CONFIG_VARIABLE))
    if named and not Path(named).is_dir():
        raise ConfigError(
            f"{CONFIG_VARIABLE}: {named} is not a folder; make it, or unset the variable"
        )
    return Path(named or root)


def load_settings(
    path: Path = Path(os.devnull), recorded: Mapping[str, str] = _NOTHING
) -> Settings:
    """Read a settings file (it may be absent) and the environment, which wins.

    Args:
        path: The file.
        recorded: Variables of the station's daemon, between the two.

    Raises:
        ConfigError: A key or value is wrong, in the file or in the environment.
    """
    origins = _recorded_origins(recorded) | _environment()
    values = _read(path)
    if isinstance(clip := values.get("clip_model"), str):
        with contextlib.suppress(ConfigError):  # refused below, with its key
            values["clip_model"] = absolute_reference(clip, path.parent)
    for key in _recorded_origins(recorded):
        with contextlib.suppress(ValueError):
            values[key] = parsed(recorded[PREFIX + key.upper()], is_list=key == "watch")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(explain(path, error, Settings, origins)) from error
    except SettingsError as error:
        raise ConfigError(_not_json(error)) from error


def origins_of(
    settings: Settings, path: Path, recorded: Mapping[str, str] = _NOTHING
) -> dict[str, str]:
    """Where the value of each setting comes from, in words.

    Args:
        settings: What `load_settings` made of the other arguments.
        path: The settings file.
        recorded: Variables of the station's daemon.
    """
    origins = dict.fromkeys(Settings.model_fields, "default")
    origins |= dict.fromkeys(settings.model_fields_set, str(path))
    return origins | _recorded_origins(recorded) | _environment()


def daemon_variables() -> dict[str, str]:
    """The variables of this process that commands need to see what its daemon sees."""
    secret = {key for key, field in Settings.model_fields.items() if "Secret" in str(field)}
    names = {PREFIX + key.upper() for key in Settings.model_fields.keys() - secret}
    found = variables_of({*names, CONFIG_VARIABLE})
    if "CACHE_DIRECTORY" in os.environ:
        found.setdefault(f"{PREFIX}MODELS_DIR", str(_cache_folder()))
    return found


def _recorded_origins(recorded: Mapping[str, str]) -> dict[str, str]:
    """Settings among the daemon's variables: key -> what to call it."""
    keys = {variable.removeprefix(PREFIX).lower(): variable for variable in recorded}
    known = keys.keys() & Settings.model_fields.keys()
    return {key: f"{keys[key]} of the daemon" for key in sorted(known)}


def _not_json(error: SettingsError) -> str:
    """Say which variable should hold a list, which the environment gives as JSON."""
    found = re.search(r'field "(\w+)"', str(error))
    variable = PREFIX + found[1].upper() if found else "environment"
    return f'{variable}: not JSON; write a list as JSON, such as ["first", "second"]'


def _read(path: Path) -> dict[str, Any]:
    if path == Path(os.devnull):
        return {}
    try:
        return read_toml(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, UsageError) as error:
        raise ConfigError(f"{path}: {explain_toml(error)}") from error


def _environment() -> dict[str, str]:
    """Settings that the environment gives: key -> variable.

    Raises:
        ConfigError: A RESTORED_ variable is not a setting. It is probably misspelt, and would be
            ignored silently.
    """
    keys = list(Settings.model_fields)
    origins: dict[str, str] = {}
    wrong: list[str] = []
    for variable in sorted(os.environ):
        if not variable.startswith(PREFIX) or variable in _OTHER_VARIABLES:
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key in keys:
            origins[key] = variable
        else:
            known = [PREFIX + key.upper() for key in keys]
            wrong.append(f"{variable} is not a setting{suggestion(variable, known)}")
    if wrong:
        raise ConfigError("\n".join(wrong))
    return origins
