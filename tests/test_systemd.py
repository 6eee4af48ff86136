"""The units, as systemd itself reads them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent.parent / "systemd"
SERVICES = ("restored.service", "restored@.service", "restored-once.service")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)


def render(folder: Path, drop_in: str) -> dict[str, str]:
    """The units with a command that exists and a drop-in; the environment that finds them."""
    for unit in UNITS.glob("restored*.[st]*"):
        text = unit.read_text().replace("/opt/restored/bin/restored", "/bin/true")
        (folder / unit.name).write_text(text)
    for service in SERVICES:
        (folder / f"{service}.d").mkdir()
        shutil.copy(UNITS / drop_in, folder / f"{service}.d")
    return os.environ | {"SYSTEMD_UNIT_PATH": f"{folder}:"}


@needs_systemd
@pytest.mark.parametrize("drop_in", ["nvidia.conf", "cpu.conf"])
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path, drop_in: str) -> None:
    environment = render(tmp_path, drop_in)
    units = [tmp_path / name.replace("@", "@attic") for name in SERVICES]
    command = [
        "systemd-analyze",
        "verify",
        "--man=no",
        *map(str, units),
        str(tmp_path / "restored-once.timer"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
@pytest.mark.parametrize(("drop_in", "tenths"), [("nvidia.conf", 20), ("cpu.conf", 10)])
@pytest.mark.parametrize("service", SERVICES)
def test_the_exposure_stays_below_what_is_promised(
    tmp_path: Path, service: str, drop_in: str, tenths: int
) -> None:
    environment = render(tmp_path, drop_in)
    threshold = f"--threshold={tenths}"
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", threshold]
    done = subprocess.run(
        [*command, tmp_path / service], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def sandbox(service: str) -> str:
    return (UNITS / service).read_text().split("# The worker process is")[1].split("\n[")[0]


def test_every_service_has_the_same_sandbox() -> None:
    one, *others = (sandbox(service).strip() for service in SERVICES)
    assert others == [one, one]


@pytest.mark.parametrize("name", ["MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork"])
def test_nothing_that_was_measured_to_hurt_is_switched_on(name: str) -> None:
    for unit in UNITS.iterdir():
        assert f"\n{name}=" not in unit.read_text(), unit.name


def test_a_stations_unit_differs_only_in_where_its_files_are() -> None:
    one, many = ((UNITS / name).read_text() for name in SERVICES[:2])
    assert many.replace("restored-%i", "restored").replace(", station %i", "") == one
