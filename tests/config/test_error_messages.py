"""What people are told about the mistakes that they make most, in recipes and in settings."""

from pathlib import Path

import pytest

from daemon.config.recipe import read_recipe
from daemon.config.settings import load_settings
from daemon.system.errors import ConfigError

STEP = '[[steps]]\nkind = "denoise"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[steps]\nkind = "denoise"\n',
            "steps is one table; allowed: [[steps]] tables, in two brackets",
        ),
        ('steps = ["denoise"]\n', "steps[0] is 'denoise'; allowed: [[steps]] tables"),
        (
            f"strength = 0.4\n{STEP}",
            "strength is not a known key; it belongs below [[steps]]",
        ),
        (f'format = "jpeg"\n{STEP}', "format is not a known key; it belongs below [output]"),
        (
            f"{STEP}scale = 2\n",
            "steps[0].scale is not a known key of this kind of step, only of super-resolve",
        ),
        (
            '[[steps]]\nkind = "super-resolve"\nscale = "2"\n',
            "steps[0].scale is '2'; allowed: 2, 3, 4; write it without quotes",
        ),
        (
            '[[steps]]\nkind = "restyle"\nsweep = 0.4\n',
            "steps[0].sweep is 0.4; allowed: a list of up to 16 values: numbers 0 to 1; "
            "write it in [brackets]",
        ),
        (
            '[[steps]]\nkind = "generate"\nsize = [1024]\n',
            "steps[0].size is [1024]; allowed: a list of 2 values: whole numbers 64 to 4096",
        ),
        (
            '[[steps]]\nkind = "inpaint"\nsensitivity = 0.5\n',
            "steps[0]: sensitivity needs find = true; set it, or leave sensitivity out",
        ),
        (
            '[[steps]]\nkind = "scratches"\n',
            "steps[0].kind is 'scratches'; allowed: denoise, super-resolve, colorize, restyle, "
            'inpaint, unfade, interpolate, generate; that is kind = "inpaint" with find = true',
        ),
        (
            f'{STEP}[output]\nformat = "jpg"\n',
            "output.format is 'jpg'; allowed: png, jpeg, webp, tiff, jxl, avif, same; "
            "did you mean jpeg",
        ),
        (
            f'[match]\nsuffixes = ["jpg"]\n{STEP}',
            "match.suffixes contains 'jpg'; allowed: endings with a dot: \".jpg\"",
        ),
        (f'match = "*.jpg"\n{STEP}', "match is '*.jpg'; allowed: a [match] table"),
        (f'[match]\nunlike = ["x"]\n{STEP}', "match: unlike needs looks_like; set it, or leave"),
        (f'name = "Old Photo"\n{STEP}', "name is 'Old Photo'; allowed: 1 to 64 small letters"),
        (
            "[[steps]]\nkind = denoise\n",
            "not a readable TOML file: Invalid value (at line 2, column 8); write text in "
            '"quotes", numbers, true and false without',
        ),
    ],
)
def test_a_mistake_in_a_recipe_is_answered_with_what_to_write(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(file)
    assert str(caught.value).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file_mode = 644\n",
            'file_mode is 644; allowed: three octal digits in quotes, such as "0644"',
        ),
        ('device = "gpu"\n', "device is 'gpu'; allowed: auto, cpu, cuda, cuda:0"),
        ('settle_s = "2s"\n', "settle_s is '2s'; allowed: numbers 0 or more"),
        (
            '[watch]\npath = "/a"\n',
            "watch is one table; allowed: [[watch]] tables, in two brackets",
        ),
        (
            '[[watch]]\npath = "/a"\nrecipe = "denoise"\n',
            'watch[0].outbox is missing; write for example outbox = "/home/anna/restored"',
        ),
        ("setle_s = 2\n", "setle_s is not a known key; did you mean settle_s"),
        (
            "colour = 2\n",
            "colour is not a known key; `restored init` lists every key in the restored.toml of "
            "a new station",
        ),
        (
            "settle_s = 1\nsettle_s = 2\n",
            "not a readable TOML file: Cannot overwrite a value (at line 2, column 13); this key "
            "was set before: remove one of them",
        ),
    ],
)
def test_a_mistake_in_the_settings_is_answered_with_what_to_write(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "restored.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file)
    assert str(caught.value).startswith(f"{file}: {message}")


def test_a_list_in_the_environment_that_is_not_json_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RESTORED_NOTIFY", "mailto://anna:hunter2@example.org")
    with pytest.raises(ConfigError) as caught:
        load_settings()
    said = str(caught.value)
    assert said == 'RESTORED_NOTIFY: not JSON; write a list as JSON, such as ["first", "second"]'
