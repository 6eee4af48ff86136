from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_ci_runs_the_test_command_that_the_readme_gives() -> None:
    readme = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    commands = [line for line in readme if line.startswith("python3 -m venv")]
    tests = [command for command in commands if command.endswith("pytest")]
    assert len(tests) == 1
    assert f"\n{tests[0]} || exit 1\n" in (ROOT / ".ci/run").read_text()
