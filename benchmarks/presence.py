"""Fit of the coefficients of `PresenceRule`: a logistic regression on generated scenes.

Run `OMP_NUM_THREADS=1 python benchmarks/presence.py`. It uses the seeds 2_500_009 and 2_500_010: it
fits on one and evaluates on the other, then fits on both. The held-out seed 2_000_003 is not used.
"""

from __future__ import annotations

import argparse

import torch
from torch.nn import functional as F

from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.metrics.presence_auroc import area_from_counts, half_bins
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.loading import load

SEEDS = (2_500_009, 2_500_010)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="demo")
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    explainer = load(options.model, vocabulary="common", batch_size=16)
    first, second = (ratios(explainer, seed, options.count) for seed in SEEDS)
    for used, shown in (
        ((True, True), "both"),
        ((True, False), "picture"),
        ((False, True), "patches"),
    ):
        weights = fit(*first, torch.tensor(used))
        print(f"{shown}: AUROC on the other seed {auroc(second[0] @ weights, second[1]):.4f}")
    both = [torch.cat(parts) for parts in zip(first, second, strict=True)]
    picture, patches, offset = fit(*both, torch.tensor([True, True])).tolist()
    print(f"PresenceRule(picture={picture:.2f}, patches={patches:.2f}, offset={offset:.2f})")


def ratios(explainer: Explainer, seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features (n, 3) of every pair of image and text, and (n,) whether it is present."""
    dataset = SceneDataset(seed=seed, count=count)
    texts = explainer.encode(dataset.names)
    rows, true = [], []
    for start in range(0, count, 20):
        samples = [dataset[index] for index in range(start, min(start + 20, count))]
        pictures = [read_image(sample.image) for sample in samples]
        explanation = explainer.explain_images(pictures, texts)
        assert explanation.reference_log_ratios is not None
        rows.append(explanation.reference_log_ratios.transpose(1, 2).reshape(-1, 2))
        true += [name in sample.present for sample in samples for name in dataset.names]
    found = torch.cat(rows).double()
    return torch.cat([found, torch.ones(len(found), 1)], dim=1), torch.tensor(true)


def fit(rows: torch.Tensor, true: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """Return the weights (3,) of a logistic regression; weights that are not used are 0."""
    mask = torch.cat([used, torch.tensor([True])])
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = F.binary_cross_entropy_with_logits(rows @ (weights * mask), true.double())
        value.backward()
        return value

    optimiser.step(loss)
    return (weights * mask).detach()


def auroc(scores: torch.Tensor, true: torch.Tensor) -> float:
    """Return the area under the ROC curve."""
    bins = [half_bins(scores[true == value]) for value in (False, True)]
    return area_from_counts(*(torch.bincount(one, minlength=2**16) for one in bins))


if __name__ == "__main__":
    main()
