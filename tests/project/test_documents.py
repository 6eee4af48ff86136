"""Facts about the documents: length, links, line width, the picture, quoted messages."""

import re
import tomllib
from pathlib import Path

import pytest
import typer
from PIL import Image

from daemon.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "training/README.md"])
README = (ROOT / "README.md").read_text()
USING = (ROOT / "docs/using.md").read_text()
MAX_WORDS = 700
MAX_PICTURE_BYTES = 300_000
MAX_LINE = 100


def section(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_the_readme_is_short() -> None:
    assert len(README.split()) <= MAX_WORDS


def test_the_readme_shows_one_wide_picture_of_at_most_300_kb() -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    path = ROOT / picture
    assert path.stat().st_size <= MAX_PICTURE_BYTES
    with Image.open(path) as opened:
        assert opened.width > 1.5 * opened.height


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_project_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_lines_of_prose_have_at_most_100_characters(path: Path) -> None:
    fenced, long = False, []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fenced ^= line.startswith("```")
        if not (fenced or line.startswith(("|", "    "))) and len(line) > MAX_LINE:
            long.append(number)
    assert long == []


def test_the_guide_for_users_lists_every_shipped_recipe_and_no_other() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", section(USING, "What each recipe does"), re.MULTILINE)
    assert sorted(rows) == sorted(path.stem for path in (ROOT / "recipes").glob("*.toml"))


def test_the_guide_for_users_lists_every_command_and_no_other() -> None:
    commands = vars(typer.main.get_command(app))["commands"]
    groups = {name for name, command in commands.items() if hasattr(command, "commands")}
    listed = set()
    for cell in re.findall(r"^\| (`.+?`) \| ", section(USING, "Commands"), re.MULTILINE):
        names = [code.split()[0] for code in re.findall(r"`([^`]+)`", cell)]
        listed |= set(names[:1] if names[0] in groups else names)
    assert listed == set(commands)


def literal_parts(message: str) -> list[str]:
    """What of a quoted message is the same each time: capitals and dots stand for the rest."""
    return [part for part in (p.strip() for p in re.split(r"\.\.\.|\b[A-Z]+\b", message)) if part]


def test_messages_that_the_guide_quotes_are_those_of_the_program() -> None:
    sources = "\n".join(path.read_text() for path in sorted((ROOT / "daemon").rglob("*.py")))
    joined = re.sub(r"[\"']\s*\n\s*f?[\"']", "", sources)
    cells = re.findall(r"^\| (`.+?) \| ", section(USING, "Troubleshooting, by message"), re.M)
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    assert len(messages) > 10
    assert [m for m in messages if not all(part in joined for part in literal_parts(m))] == []


def test_every_entry_of_the_design_stands_under_its_package_and_has_a_date() -> None:
    design = (ROOT / "docs/design.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (c["layers"] for c in contracts["contracts"] if c["type"] == "layers")
    headings = re.findall(r"^## (.+)$", design, re.MULTILINE)
    assert [name for name in headings if name in layers] == layers[1:]
    entries = re.split(r"^(?=\*\*[^*]+\?\*\*)", design.split("\n## ", 1)[1], flags=re.MULTILINE)[1:]
    undated = [e for e in entries if not re.search(r"\(20\d\d-\d\d-\d\d\)\s*(\n## .+\s*)?$", e)]
    assert len(entries) >= 96
    assert undated == []


def test_modules_that_the_design_names_exist() -> None:
    design = (ROOT / "docs/design.md").read_text()
    for path in re.findall(r"`([a-z_]+/[\w/]+\.py)`", design):
        assert (ROOT / "daemon" / path).exists(), path
