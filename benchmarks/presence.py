"""Fit of the coefficients of `PresenceRule` on generated scenes.

Run `OMP_NUM_THREADS=1 python benchmarks/presence.py`. It uses the seeds 2_500_009 and 2_500_010: it
fits on one and evaluates on the other, then fits on both. The held-out seed 2_000_003 is not used.
It also prints how probable texts without meaning are, which the fit does not use, and how well
promised miss rates and p-values hold over random splits, where each split fits its own rule.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset, calibrate_presence
from clip_surgery.evaluation.calibration import calibrated_presence, presence_observations

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
    print_promises(explainer, first)


def print_promises(explainer: cs.Explainer, dataset: SceneDataset, splits: int = 200) -> None:
    """Print misses and false alarms on one half of the images at thresholds of the other half."""
    parts = zip(*presence_observations(explainer, dataset), strict=True)
    ratios, present = (np.concatenate(part) for part in parts)
    generator, rows, small = np.random.default_rng(0), {}, []
    for _ in range(splits):
        first, second = np.array_split(generator.permutation(len(ratios)), 2)
        rule = calibrated_presence(ratios[first], present[first])
        log_ratios = torch.from_numpy(ratios[second]).transpose(1, 2)
        probabilities, labels = rule.probabilities(log_ratios).double().numpy(), present[second]
        p_values = rule.p_values(log_ratios)
        small.append(((p_values[~labels] <= 0.01).mean(), (p_values[labels] <= 0.01).mean()))
        for per in ("text", "image"):
            for rate in (0.05, 0.1, 0.2):
                missed = probabilities < rule.threshold(rate, per=per)
                of_images = [
                    miss[row].mean() for miss, row in zip(missed, labels, strict=False) if row.any()
                ]
                share = missed[labels].mean() if per == "text" else np.mean(of_images)
                rows.setdefault((per, rate), []).append((share, (~missed[~labels]).mean()))
    print(f"\n| promised misses | per | mean misses, {splits} splits | absent texts kept |")
    print("|---|---|---|---|")
    for (per, rate), values in rows.items():
        missed, kept = np.mean(values, axis=0)
        print(f"| {rate:.2f} | {per} | {missed:.3f} | {kept:.4f} |")
    absent, found = np.mean(small, axis=0)
    print(f"\np-values of at most .01: {absent:.4f} of absent and {found:.3f} of present texts")


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
