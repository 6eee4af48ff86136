"""Every setting of a station, with its value as text and where that comes from."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from daemon.config.daemon_environment import read_environment
from daemon.config.key_descriptions import toml_value
from daemon.config.settings import Settings, load_settings, origins_of
from daemon.config.settings_template import SETTING_GROUPS
from daemon.config.station_setup import open_station


@dataclass(frozen=True)
class SettingValue:
    """One setting.

    Attributes:
        name: Its name.
        value: Its value as TOML; "" if it is not set. Secrets are counted, not shown.
        origin: The file, the variable or "default".
    """

    name: str
    value: str
    origin: str


def setting_values(root: Path | None) -> tuple[SettingValue, ...]:
    """All settings in the order of the manual.

    Args:
        root: Folder of a station; None for commands without one.

    Raises:
        ConfigError: The settings are wrong.
    """
    if root is None:
        settings, path, recorded = load_settings(), Path(), {}
    else:
        station, settings = open_station(root)
        path, recorded = station.settings_file, read_environment(station.root)
    origins = origins_of(settings, path, recorded)
    names = [name for group in SETTING_GROUPS.values() for name in group]
    return tuple(SettingValue(name, _text(settings, name), origins[name]) for name in names)


def _text(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if value is None or value == ():
        return ""
    if isinstance(value, tuple) and isinstance(value[0], SecretStr):
        return f"{len(value)} secret" + "s" * (len(value) > 1)
    if isinstance(value, tuple):
        return toml_value([one.model_dump(mode="json") for one in value])
    return toml_value(int(value) if isinstance(value, float) and value.is_integer() else value)
