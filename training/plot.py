"""Draws the curves of a run from its log."""

import json
from pathlib import Path


def draw_curves(log: Path, picture: Path) -> None:
    """Draw losses by kind and validation PSNR over minutes; needs the `train` extra.

    Args:
        log: The run's log of JSON lines.
        picture: PNG file to write.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("no curves: pip install matplotlib (the extra `train`) draws them")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    losses: dict[str, list[tuple[float, float]]] = {}
    validation: dict[str, list[tuple[float, float]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        for part, curves in (("losses", losses), ("validation", validation)):
            for name, value in entry.get(part, {}).items():
                curves.setdefault(name, []).append((entry["trained_s"] / 60, value))
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, points in losses.items():
        left.semilogy(*zip(*points, strict=True), label=name, linewidth=0.8)
    for name, points in validation.items():
        if not name.endswith("_in") and not name.startswith("colourfulness"):
            first = points[0][1]
            gains = [(minute, value - first) for minute, value in points]
            right.plot(*zip(*gains, strict=True), label=f"{name} ({points[-1][1]:.2f} dB)")
    left.set(title="loss", xlabel="minutes trained")
    right.set(title="validation PSNR, gain in dB since the first", xlabel="minutes trained")
    for axes, curves in ((left, losses), (right, validation)):
        if curves:
            axes.legend(fontsize="small")
    figure.savefig(picture, dpi=90)
    pyplot.close(figure)
