"""A bar for the jobs of a command without a station; nothing where stderr is no terminal."""

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class JobsBar:
    """A bar for the jobs of a command without a station, which moves with each evaluation.

    Args:
        name: What the jobs have in common, such as their recipe.
        jobs: How many.
    """

    def __init__(self, name: str, jobs: int) -> None:
        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f}{task.fields[said]}"),
            TimeElapsedColumn(),
        )
        self._bar = Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        )
        self._task = self._bar.add_task(name, total=jobs, said="")

    def __enter__(self) -> "JobsBar":
        """Show the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._bar.stop()

    def job_done(self) -> None:
        """Count a job."""
        self._bar.advance(self._task)

    def working(self, evaluations: int) -> None:
        """Show that work goes on, by the number of evaluations so far; 0 while networks load."""
        said = f", {evaluations} evaluations" if evaluations else ", loading networks"
        self._bar.update(self._task, said=said)
