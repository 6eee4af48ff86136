import re
import tomllib
from pathlib import Path

import pytest

from daemon.config.key_descriptions import keys_of
from daemon.config.settings import Settings, load_settings
from daemon.config.settings_template import SETTING_GROUPS, settings_template
from daemon.config.station_setup import make_station, open_station

TEMPLATE = settings_template()
LINES = re.findall(r"^#(\w+ = .+)$", TEMPLATE, re.MULTILINE)


def test_every_setting_stands_in_one_group_and_once_in_a_new_file() -> None:
    grouped = [name for names in SETTING_GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(Settings.model_fields)
    assert [line.split(" = ")[0] for line in LINES] == grouped


def test_a_new_file_changes_nothing(tmp_path: Path) -> None:
    make_station(tmp_path / "station")
    file = tmp_path / "station" / "restored.toml"
    assert file.read_text() == TEMPLATE
    assert tomllib.loads(TEMPLATE) == {}
    assert open_station(tmp_path / "station")[1] == Settings()


@pytest.mark.parametrize("line", LINES)
def test_any_line_of_a_new_file_loads_without_its_comment_sign(tmp_path: Path, line: str) -> None:
    file = tmp_path / "restored.toml"
    file.write_text(TEMPLATE.replace(f"\n#{line}\n", f"\n{line}\n"))
    settings = load_settings(file)
    (key,) = [key for key in keys_of(Settings) if line.startswith(f"{key.name} = ")]
    assert key.name in settings.model_fields_set
    changed = getattr(settings, key.name) != getattr(Settings(), key.name)
    assert changed == (key.default in ("", "[]"))


def test_all_lines_of_a_new_file_load_together(tmp_path: Path) -> None:
    file = tmp_path / "restored.toml"
    file.write_text(re.sub(r"^#(\w+ = )", r"\1", TEMPLATE, flags=re.MULTILINE))
    assert load_settings(file).model_fields_set == set(Settings.model_fields)


def test_every_setting_is_explained_before_its_line() -> None:
    entries = re.findall(r"((?:^# .+\n)+)#(\w+) = ", TEMPLATE, re.MULTILINE)
    comments = {name: " ".join(text.replace("\n# ", " ").split()) for text, name in entries}
    for key in keys_of(Settings):
        assert key.summary.split()[0] in comments[key.name]
        if not key.default:
            assert "Not set: " in comments[key.name]
