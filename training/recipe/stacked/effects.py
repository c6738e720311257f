"""What the settings of the recipe change in the contrast of plain CLIP's maps, over many runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Mapping[str, Any]
"""A run of training/stacked.json: study, variant, seed, settings and curve."""
CONTRAST = "plain mSC"

EFFECTS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "captions alone": lambda s: s["label_weight"] == 0,
    "label loss with weight 0.1 or 0.3": lambda s: 0 < s["label_weight"] < 1,
    "labels compete": lambda s: s["label_weight"] > 0 and s["labels_compete"],
    "labels one way": lambda s: s["label_weight"] > 0 and not s["labels_both_ways"],
    "true captions are negatives": lambda s: s["true_captions_are_negatives"],
    "few templates": lambda s: s["label_weight"] > 0 and s["label_templates"] == "few",
    "no empty captions": lambda s: s["empty_captions"] == 0,
    "no described scenes": lambda s: s["described_every"] == 0,
}
"""Differences from the recipe of the first edition; the settings of labels count only where there
is a label loss."""


def contrast_at(run: Run, scenes: int) -> float:
    """The mean score contrast of a run after this many scenes, in per cent."""
    return next(100 * point[CONTRAST] for point in run["curve"] if point["scenes"] == scenes)


def effects(runs: Sequence[Run], scenes: int) -> dict[str, tuple[float, float]]:
    """Least squares of the contrast on the settings: effect and half of its 95 % interval.

    Values are in points of mSC. The study that a run belongs to is a further variable, so that a
    difference between studies is not taken for an effect.
    """
    columns = [[1.0] * len(runs), [float(run["study"] == 2) for run in runs]]
    columns += [[float(rule(run["settings"])) for run in runs] for rule in EFFECTS.values()]
    design = np.array(columns).T  # (runs, variables)
    values = np.array([contrast_at(run, scenes) for run in runs])
    inverse = np.linalg.inv(design.T @ design)
    coefficients: NDArray[np.float64] = inverse @ design.T @ values
    residual = values - design @ coefficients
    variance = residual @ residual / (len(values) - design.shape[1])
    half = 1.96 * np.sqrt(variance * np.diag(inverse))
    return {
        name: (float(value), float(width))
        for name, value, width in zip(EFFECTS, coefficients[2:], half[2:], strict=True)
    }


def stages(runs: Sequence[Run]) -> dict[int, tuple[float, float, float]]:
    """Mean and standard deviation of the contrast, and the share of runs below 0, at each stage.

    Only numbers of scenes at which all runs were measured.
    """
    common = set.intersection(*({point["scenes"] for point in run["curve"]} for run in runs))
    table = {}
    for scenes in sorted(common):
        values = np.array([contrast_at(run, scenes) for run in runs])
        table[scenes] = (values.mean(), values.std(ddof=1), 100 * (values < 0).mean())
    return table


def tables(runs: Sequence[Run]) -> str:
    """Both tables in Markdown."""
    lines = ["| scenes | mean mSC | standard deviation | runs below 0, % |", "| --- " * 4 + "|"]
    for scenes, (mean, deviation, below) in stages(runs).items():
        lines.append(f"| {scenes:,} | {mean:.1f} | {deviation:.1f} | {below:.0f} |")
    at = [min(stages(runs)), 192_000, max(stages(runs))]
    lines += ["", f"| setting | runs | {' | '.join(f'{scenes:,} scenes' for scenes in at)} |"]
    lines.append("| --- " * (2 + len(at)) + "|")
    found = [effects(runs, scenes) for scenes in at]
    for name, rule in EFFECTS.items():
        count = sum(rule(run["settings"]) for run in runs)
        cells = (f"{value:+.1f} ± {half:.1f}" for value, half in (each[name] for each in found))
        lines.append(f"| {name} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
