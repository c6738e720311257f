"""Draw how often texts with a given presence are in the image, for the card of the demo model.

Run `python docs/make_reliability.py`. The scenes are held out from training and from the fit of
`PresenceRule`, and all 64 nouns are given as texts.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

mpl.use("Agg")
from matplotlib import pyplot as plt

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

PICTURE = Path(__file__).parent / "pictures/reliability.png"
HELD_OUT_SEED = 2_000_003
SCENES = 500
EDGES = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)


def main() -> None:
    probabilities, present = observations()
    bins = np.clip(np.searchsorted(EDGES, probabilities, side="right") - 1, 0, len(EDGES) - 2)
    rows = []
    for number in range(len(EDGES) - 1):
        inside = bins == number
        if inside.any():
            rows.append((probabilities[inside].mean(), present[inside].mean(), inside.sum()))
    for mean, share, count in rows:
        print(f"mean presence {mean:.3f}: {share:.3f} of {count} pairs are present")
    found, absent = probabilities[present], probabilities[~present]
    print(f"present: median {np.median(found):.3f}, above 0.5 {(found > 0.5).mean():.1%}")
    print(f"absent: below 0.05 {(absent < 0.05).mean():.1%}, above 0.5 {(absent > 0.5).mean():.2%}")
    draw(np.array(rows))


def observations() -> tuple[np.ndarray, np.ndarray]:
    """Return the presence of every pair of a scene and a noun, and whether it is present."""
    explainer = cs.load("demo", batch_size=20)
    scenes = SceneDataset(seed=HELD_OUT_SEED, count=SCENES)
    values, present = [], []
    for start in range(0, len(scenes), 20):
        samples = [scenes[index] for index in range(start, min(start + 20, len(scenes)))]
        explanation = explainer([sample.image for sample in samples], scenes.names)
        values.append(cs.presence(explanation))
        present += [[name in sample.present for name in scenes.names] for sample in samples]
    return torch.cat(values).double().numpy().ravel(), np.array(present).ravel()


def draw(rows: np.ndarray) -> None:
    """Draw the share of present pairs over the mean presence, with the number of pairs below."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(4.2, 4.6), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    upper.plot([0, 1], [0, 1], color="#90a4ae", linewidth=1, label="perfectly calibrated")
    upper.plot(rows[:, 0], rows[:, 1], "o-", color="#00796b", markersize=4, label="demo model")
    upper.set_ylabel("share that is in the image")
    upper.legend(frameon=False)
    lower.bar(rows[:, 0], rows[:, 2], width=0.025, color="#00796b")
    lower.set_yscale("log")
    lower.set_ylabel("pairs")
    lower.set_xlabel("presence")
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
