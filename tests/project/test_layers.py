import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def contract(name: str) -> dict[str, Any]:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (found,) = (c for c in content["tool"]["importlinter"]["contracts"] if c["name"] == name)
    return dict(found)


def modules(folder: Path) -> set[str]:
    """The modules and packages directly inside a package, by dotted name."""
    found = (path for path in folder.iterdir() if path.suffix == ".py" or path.is_dir())
    names = {path.stem for path in found} - {"__init__", "__main__", "__pycache__"}
    dotted = ".".join(folder.relative_to(ROOT).parts)
    return {f"{dotted}.{name}" for name in names}


def test_every_module_outside_the_ledger_is_held_to_no_sql() -> None:
    packages = modules(ROOT / "daemon") - {"daemon.jobs", "daemon.shipped_recipes"}
    jobs = modules(ROOT / "daemon" / "jobs") - {"daemon.jobs.ledger"}
    assert set(contract("SQL stays in the ledger")["source_modules"]) == packages | jobs


def test_every_package_outside_the_compute_wing_is_held_to_no_torch() -> None:
    compute = {"executors", "engine", "restorers", "diffusion", "models", "shipped_recipes"}
    packages = modules(ROOT / "daemon") - {f"daemon.{name}" for name in compute}
    held = contract("torch stays in the compute wing")["source_modules"]
    joining = contract("what joins the two wings asks torch nothing itself")["source_modules"]
    assert {*held, *joining} == packages
