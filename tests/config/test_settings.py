from pathlib import Path

import pytest

from daemon.config.settings import load_settings
from daemon.system.errors import ConfigError


def message_of(tmp_path: Path, text: str) -> str:
    file = tmp_path / "restored.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_an_absent_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "none.toml").settle_s == 2


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "restored.toml"
    file.write_text("settle_s = 7\nattempts = 5\n")
    monkeypatch.setenv("RESTORED_SETTLE_S", "0.5")
    monkeypatch.setenv("RESTORED_STATION", "/somewhere")
    settings = load_settings(file)
    assert (settings.settle_s, settings.attempts) == (0.5, 5)


def test_a_bad_value_names_file_key_value_and_range(tmp_path: Path) -> None:
    assert (
        message_of(tmp_path, "settle_s = -1\n")
        == "restored.toml: settle_s is -1; allowed: numbers 0 or more"
    )


def test_a_bad_value_from_the_environment_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_ORIGINALS", "burn")
    message = message_of(tmp_path, "")
    assert message == "RESTORED_ORIGINALS: originals is 'burn'; allowed: archive, delete, leave"


def test_a_misspelt_variable_names_what_it_may_have_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESTORED_SETLE_S", "1")
    assert message_of(tmp_path, "").startswith(
        "RESTORED_SETLE_S is not a setting; did you mean RESTORED_SETTLE_S"
    )


@pytest.mark.parametrize(
    "line",
    [
        'notify = "mailto://anna:hunter2@example.org"',
        'notify = [1, "json://hunter2"]',
        'notify = [["hunter2"]]',
        'notify = [{url = "hunter2"}]',
    ],
)
def test_a_wrong_secret_is_not_repeated(tmp_path: Path, line: str) -> None:
    message = message_of(tmp_path, line)
    assert message.startswith("restored.toml: notify")
    assert "(secret)" in message
    assert "hunter2" not in message


def test_a_right_secret_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "restored.toml"
    file.write_text('notify = ["json://hunter2"]\n')
    settings = load_settings(file)
    assert settings.notify[0].get_secret_value() == "json://hunter2"
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_an_unknown_key_names_what_it_may_have_meant(tmp_path: Path) -> None:
    message = message_of(tmp_path, "rescan = 3\n")
    assert message == "restored.toml: rescan is not a known key; did you mean rescan_s?"


def test_a_key_inside_a_list_of_tables_is_named_with_its_index(tmp_path: Path) -> None:
    text = '[[watch]]\npath = "a"\nrecipe = "denoise"\noutbox = "b"\npolled = "often"\n'
    assert message_of(tmp_path, text) == (
        "restored.toml: watch[0].polled is 'often'; allowed: true or false or auto"
    )


@pytest.mark.parametrize("value", ["", "[" * 100_000, "9" * 5000], ids=["none", "deep", "endless"])
def test_broken_toml_is_a_configuration_error(tmp_path: Path, value: str) -> None:
    assert message_of(tmp_path, f"settle_s = {value}\n").startswith(
        "restored.toml: not a readable TOML file"
    )


def test_the_clip_model_is_a_reference_beside_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "restored.toml"
    file.write_text('clip_model = "./clip"\n')
    assert load_settings(file).clip_model == str(tmp_path / "clip")
    file.write_text('clip_model = "openai/clip-vit-base-patch32"\n')
    assert load_settings(file).clip_model == "openai/clip-vit-base-patch32"
    message = message_of(tmp_path, 'clip_model = "clip"\n')
    assert message.startswith("restored.toml: clip_model is 'clip'; allowed: \"prior\", a Hub id")
