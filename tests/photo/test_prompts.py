"""Prompt files: their content, and errors that name file, line, key and value."""

from pathlib import Path

import pytest

from daemon.photo import Limits, Photo, Prompt, Prompts, read_header
from daemon.photo.reading import read_source
from daemon.system.errors import PhotoError


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> Prompts:
    header = read_header(path, Limits())
    source = read_source(Photo(path, path.name, "d", header), Limits())
    assert isinstance(source, Prompts)
    assert header.pictures == len(source.prompts)
    assert (header.width, header.height) == (source.size or (0, 0))
    return source


def test_a_text_file_holds_one_prompt_a_line(tmp_path: Path) -> None:
    text = "\ufeff# ideas\n a red cat \r\n\nan old photo of Zürich\n"
    found = read(written(tmp_path, "Ideas.TXT", text))
    assert found == Prompts((Prompt("a red cat"), Prompt("an old photo of Zürich")))


def test_a_toml_file_gives_size_seed_and_count(tmp_path: Path) -> None:
    text = 'prompt = "a cat"\nnegative = "dogs"\nsize = [640, 512]\nseed = 7\ncount = 3\n'
    found = read(written(tmp_path, "cats.toml", text))
    assert found.size == (640, 512)
    assert found.prompts == tuple(Prompt("a cat", "dogs", seed) for seed in (7, 8, 9))
    alone = read(written(tmp_path, "cat.toml", 'prompt = "a cat"\nseed = 0\n'))
    assert alone == Prompts((Prompt("a cat", "", 0),))
    assert read(written(tmp_path, "any.toml", 'prompt = "x"\ncount = 2')).prompts[1].seed is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"good\nbad \xff\n", "a.txt: line 2: byte 5 is 0xff, which is not UTF-8; save"),
        ("a.txt", "# none\n\n", "a.txt: no line holds a prompt; write one prompt a line"),
        (
            "a.txt",
            "x" * 2001,
            "a.txt: line 1: the prompt has 2001 characters; allowed: at most 2000",
        ),
        ("a.txt", "x\n" * 257, "a.txt: 257 prompts; allowed: at most 256; split the file"),
        ("a.txt", "x" * 1_000_001, "a.txt: more than 1000000 bytes; expected a prompt file"),
        ("a.toml", "prompt = cat", "a.toml: not a readable TOML file: Invalid value"),
        ("a.toml", "prompt = " + "[" * 200_000, "a.toml: not a readable TOML file: maximum"),
        ("a.toml", "seed = " + "9" * 5000, "a.toml: not a readable TOML file: Exceeds the limit"),
        ("a.toml", "a" + ".a" * 10_000 + " = 1", "a.toml: a dotted key has more than 16 parts"),
        (
            "a.toml",
            '["\\"" ' + """. "\\"" . 'b'""" * 10_000 + "]",
            "a.toml: a dotted key has more than 16 parts",
        ),
        ("a.toml", 'prompt = "a"\nseed = 0x' + "f" * 5000, "a.toml: line 2: seed is a number"),
        ("a.toml", "count = 2\n", "a.toml: prompt is missing"),
        ("a.txt", b"a\0b\n", "a.txt: a prompt holds the character NUL; save the file as plain"),
        ("a.toml", 'prompt = "a\\u0000b"', "a.toml: a prompt holds the character NUL"),
        ("a.toml", 'prompt = "a"\nseed = ' + "1" + "0" * 30, "a.toml: line 2: seed is 1000"),
        ("a.toml", 'prompt = "a"\nseed = nan', "a.toml: line 2: seed is nan"),
        ("a.toml", 'prompt = "\\ud800"', "a.toml: not a readable TOML file"),
        ("a.txt", b"\xed\xa0\x80\n", "a.txt: line 1: byte 1 is 0xed, which is not UTF-8"),
        (
            "a.toml",
            'prompt = "a"\n\ncount = 0\n',
            "a.toml: line 3: count is 0; allowed: whole numbers 1 to 256",
        ),
        (
            "a.toml",
            'prompt = "a"\nseeds = 1\n',
            "a.toml: line 2: seeds is not a known key; did you mean seed?",
        ),
        ("a.toml", 'prompt = "a"\nsize = [32, 64]', "a.toml: line 2: size[0] is 32"),
        ("a.toml", 'prompt = "a"\nseed = -1', "a.toml: line 2: seed is -1; allowed"),
    ],
)
def test_an_error_names_file_line_key_and_value(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(PhotoError) as caught:
        read_header(written(tmp_path, name, content), Limits())
    assert str(caught.value).startswith(message)
    assert caught.value.photo == name


def test_an_error_tells_what_is_wrong_from_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        read_header(written(tmp_path, "a.txt", b"bad \xff\n"), Limits())
    assert caught.value.why == "line 1: byte 5 is 0xff, which is not UTF-8"
    assert caught.value.remedy == "save the file as UTF-8"


def test_every_wrong_key_of_a_prompt_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PhotoError) as caught:
        read_header(written(tmp_path, "a.toml", 'prompt = "a"\ncount = 0\nseed = -1'), Limits())
    first, second = caught.value.why.splitlines()
    assert first.startswith("line 3: seed is -1; allowed")
    assert second == "line 2: count is 0; allowed: whole numbers 1 to 256"
