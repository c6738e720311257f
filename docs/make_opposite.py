"""Draw how opposite plain CLIP's maps are during the training, over all recorded runs.

Run `python docs/make_opposite.py`. The numbers are those of training/stacked.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent
RUNS = DOCS.parent / "training/stacked.json"
GROUPS = (("label loss", "0.6"), ("captions alone", "#d1495b"))


def group_of(run: dict[str, Any]) -> str:
    """Whether a run was trained with a label loss."""
    return "label loss" if run["settings"]["label_weight"] else "captions alone"


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """Plot the curve of each run, and the mean of each group at the stages that all runs have."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    common = set.intersection(*({point["scenes"] for point in run["curve"]} for run in runs))
    for name, colour in GROUPS:
        own = [run for run in runs if group_of(run) == name]
        for run in own:
            axes.plot(
                [point["scenes"] / 1000 for point in run["curve"]],
                [100 * point["plain mSC"] for point in run["curve"]],
                color=colour,
                linewidth=0.6,
                alpha=0.45,
            )
        means = []
        for scenes in sorted(common):
            values = [p["plain mSC"] for run in own for p in run["curve"] if p["scenes"] == scenes]
            means.append((scenes / 1000, 100 * sum(values) / len(values)))
        axes.plot(
            *zip(*means, strict=True),
            color=colour if name != "label loss" else "0.25",
            linewidth=2.4,
            marker="o",
            markersize=4,
            label=f"{name}: mean of {len(own)} runs",
        )
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set_xlabel("scenes seen, in thousands")
    axes.set_ylabel("mSC of plain CLIP, %\n(below 0: opposite)")
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(RUNS.read_text(encoding="utf-8")), DOCS / "pictures/opposite-training.png")
