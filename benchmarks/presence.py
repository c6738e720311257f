"""Fit of the coefficients of `PresenceRule` on generated scenes.

Run `OMP_NUM_THREADS=1 python benchmarks/presence.py`. It uses the seeds 2_500_009 and 2_500_010: it
fits on one and evaluates on the other, then fits on both. The held-out seed 2_000_003 is not used.
It also prints how probable texts without meaning are, which the fit does not use.
"""

from __future__ import annotations

import argparse

import torch

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset, calibrate_presence

SEEDS = (2_500_009, 2_500_010)
MEANINGLESS = ("ljashdbflsabdf", "qwrtzp", "xkvv bbq", "1234567", "zzz", "kangaroo", "parliament")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    explainer = cs.load(options.model, batch_size=16)
    first, second = (SceneDataset(seed=seed, count=options.count) for seed in SEEDS)
    rule = calibrate_presence(explainer, first, store=False)
    present, absent, meaningless = probabilities(explainer, second, rule)
    area = torch.stack([(value > absent).double().mean() for value in present]).mean()
    print(f"fitted on seed {SEEDS[0]}, measured on {SEEDS[1]}: AUROC {area:.4f}")
    print(
        f"present: median {present.median():.3f}, above 0.5 {(present > 0.5).double().mean():.1%}"
    )
    print(f"absent: below 0.05 {(absent < 0.05).double().mean():.1%}")
    print(f"texts without meaning: mean {meaningless.mean():.4f}, highest {meaningless.max():.3f}")
    print(calibrate_presence(explainer, Joined(first, second), store=False))


class Joined:
    """Two data sets with the same classes, one after the other."""

    def __init__(self, first: SceneDataset, second: SceneDataset) -> None:
        self.first, self.second = first, second
        self.name, self.names = "joined scenes", first.names

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, index: int) -> cs.Sample:
        if index < len(self.first):
            return self.first[index]
        return self.second[index - len(self.first)]


def probabilities(
    explainer: cs.Explainer, dataset: SceneDataset, rule: cs.PresenceRule
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the probabilities of present, absent and meaningless texts in all images."""
    texts = (*dataset.names, *MEANINGLESS)
    values, present = [], []
    for start in range(0, len(dataset), 20):
        samples = [dataset[index] for index in range(start, min(start + 20, len(dataset)))]
        explanation = explainer([sample.image for sample in samples], texts)
        values.append(cs.presence(explanation, rule=rule))
        present += [[name in sample.present for name in dataset.names] for sample in samples]
    known, meaningless = torch.cat(values).double().split([len(dataset.names), len(MEANINGLESS)], 1)
    mask = torch.tensor(present)
    return known[mask], known[~mask], meaningless


if __name__ == "__main__":
    main()
