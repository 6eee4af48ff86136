"""The systemd units, judged by systemd itself."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
SERVICES = (
    *("restored.service", "restored@.service", "restored-once.service"),
    "restored-web.service",
)

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (Debian: systemd)"
)


def render(folder: Path, drop_in: str) -> dict[str, str]:
    """Write the units with a drop-in and a command that exists; return an environment for them."""
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


@needs_systemd
def test_a_misspelt_directive_is_found(tmp_path: Path) -> None:
    environment = render(tmp_path, "cpu.conf")
    unit = tmp_path / "restored.service"
    unit.write_text(unit.read_text().replace("RestartSec=", "RestartSecs="))
    command = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "RestartSecs" in done.stderr


def exposure(folder: Path, environment: dict[str, str]) -> float:
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true"]
    done = subprocess.run(
        [*command, folder / "restored.service"], env=environment, capture_output=True, text=True
    )
    found = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    assert found, done.stdout
    return float(found[1])


WEIGHTLESS = {"AmbientCapabilities", "DevicePolicy", "KeyringMode", "SystemCallErrorNumber"}
"""Directives that systemd does not weigh, or that another directive of the drop-in implies."""


@needs_systemd
def test_every_protection_lowers_the_exposure(tmp_path: Path) -> None:
    environment = render(tmp_path, "cpu.conf")
    unit = tmp_path / "restored.service"
    whole = unit.read_text()
    least = exposure(tmp_path, environment)
    lines = whole[whole.index("NoNewPrivileges=") : whole.index("[Install]")].split()
    protections = [line for line in lines if line.partition("=")[0].isalpha() and "=" in line]
    useless = set()
    for line in protections:
        unit.write_text(re.sub(rf"^{re.escape(line)}.*\n", "", whole, count=1, flags=re.M))
        if exposure(tmp_path, environment) <= least:
            useless.add(line.partition("=")[0])
    assert len(protections) > 20
    assert useless == WEIGHTLESS


def test_a_failed_preparation_leaves_the_exit_code_to_the_main_process(tmp_path: Path) -> None:
    """RestartPreventExitStatus= does not apply to ExecStartPre=, which may therefore fail."""
    for service in SERVICES:
        assert "\nExecStartPre=-/opt/" in (UNITS / service).read_text()


def sandbox(service: str) -> str:
    return (
        (UNITS / service).read_text().split("# SIGTERM goes to the daemon alone")[1].split("\n[")[0]
    )


def test_every_service_has_the_same_sandbox() -> None:
    one, *others = (sandbox(service).strip() for service in SERVICES)
    assert others == [one] * 3


@pytest.mark.parametrize("name", ["MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork"])
def test_nothing_that_was_measured_to_hurt_is_switched_on(name: str) -> None:
    for unit in UNITS.iterdir():
        assert f"\n{name}=" not in unit.read_text(), unit.name


def test_a_stations_unit_differs_only_in_where_its_files_are() -> None:
    one, many = ((UNITS / name).read_text().splitlines() for name in SERVICES[:2])
    many = [line.replace("restored-%i", "restored").replace(", station %i", "") for line in many]
    assert [line for line in one if line not in many] == [
        "# Port of /metrics, /livez and /readyz, which only this host reaches.",
        "Environment=RESTORED_METRICS_PORT=9640",
    ]
    assert [line for line in many if line not in one] == [
        "# Variables of this station alone, such as RESTORED_METRICS_PORT: each needs its own.",
        "EnvironmentFile=-%E/restored/%i.environment",
    ]
    assert [line for line in one if line in many] == [line for line in many if line in one]
