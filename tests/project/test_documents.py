"""Facts about the documents: length, links, line width, the picture, quoted messages."""

import re
from pathlib import Path

import pytest
import typer
from PIL import Image

from daemon.cli.main import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "training/README.md"])
WRAPPED = [path for path in DOCUMENTS if path.name not in ("models.md", "operating.md")]
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


@pytest.mark.parametrize("path", WRAPPED, ids=lambda path: path.name)
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
