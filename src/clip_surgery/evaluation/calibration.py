"""Calibration of presence: fit its rule to images for which the present texts are known.

The result also keeps the scores of present and absent texts. Thresholds with a promised miss rate
and p-values follow from them (`presence_statistics`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clip_surgery.calibrated_presence import CalibratedPresence, coefficients_of
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.presence_rule_files import write_rule

_BATCH = 32
MOST_ABSENT_SCORES = 10_000
"""Number of scores of absent texts that are kept; a random sample if there are more."""
_PRIOR = 1e-4
"""Strength of the pull of all coefficients to 0, so that separable data have a finite solution."""


def calibrate_presence(
    explainer: Explainer, dataset: Dataset | str | Path, *, store: bool = True
) -> CalibratedPresence:
    """Fit the probability of presence to a data set, and store it for the model.

    Every pair of an image and a class name is one observation of a logistic regression with two
    inputs, the log ratios of the whole image and of its best patches. The probabilities are
    therefore calibrated for the share of present classes in this data set. The result also has
    `threshold(miss_rate)` and `p_values`. The three coefficients are fitted to the same images,
    which has no measurable effect on these promises (`benchmarks/presence.py`).

    Args:
        explainer: the model, with a vocabulary.
        dataset: images with their classes, or a folder in the format of `open_dataset("folder")`.
            About a hundred images are enough.
        store: write the rule beside the cache of text features. Explainers of the same model and
            vocabulary then use it. Without a cache nothing is written.

    Returns:
        The rule; `replace(explainer, presence_rule=rule)` uses it without storing it.

    Raises:
        InputError: if the explainer has no vocabulary, if there is no image, or if no class is
            present (or absent) in any image, or if the rule cannot be written.

    Example:
        >>> from clip_surgery.evaluation import SceneDataset
        >>> from clip_surgery.loading import load
        >>> scenes = SceneDataset(seed=5, count=4)
        >>> rule = calibrate_presence(load("demo", cache=False), scenes)
        >>> rule.image >= 0
        True
    """
    if explainer.vocabulary is None:
        raise InputError(
            "Expected an explainer with reference words, but it was loaded with vocabulary=None."
        )
    if isinstance(dataset, (str, Path)):
        dataset = open_dataset("folder", Path(dataset))
    batches = list(presence_observations(explainer, dataset))
    present = np.concatenate([labels.ravel() for _, labels in batches] or [np.zeros(0, dtype=bool)])
    if not 0 < present.sum() < len(present):
        raise InputError(
            f"Expected a data set in which some classes are present and some are not, but of "
            f"{len(present)} pairs of image and class {int(present.sum())} are present."
        )
    rule = calibrated_presence(
        np.concatenate([ratios for ratios, _ in batches]),
        np.concatenate([labels for _, labels in batches]),
    )
    path = explainer.presence_rule_path()
    if store and path is not None:
        write_rule(path, rule)
    return rule


def calibrated_presence(log_ratios: NDArray[Any], present: NDArray[np.bool_]) -> CalibratedPresence:
    """Fit the rule and keep the scores of present and absent texts.

    Args:
        log_ratios: (B, C, 2), log ratios of image and best patches for B images and C texts.
        present: (B, C) bool, whether the text is in the image.
    """
    rule = fit_presence(log_ratios.reshape(-1, 2), present.ravel())
    scores = rule.scores(torch.from_numpy(log_ratios).transpose(1, 2)).double().numpy()
    absent = scores[~present]
    if len(absent) > MOST_ABSENT_SCORES:
        absent = np.random.default_rng(0).choice(absent, MOST_ABSENT_SCORES, replace=False)
    return CalibratedPresence(
        **coefficients_of(rule),
        present=tuple(
            tuple(row[labels].tolist()) for row, labels in zip(scores, present, strict=True)
        ),
        absent=tuple(np.sort(absent).tolist()),
    )


def fit_presence(log_ratios: NDArray[Any], present: NDArray[np.bool_]) -> PresenceRule:
    """Fit a logistic regression with weights that are not negative.

    Args:
        log_ratios: (n, 2), log ratios of image and best patches.
        present: (n,) bool, whether the text is present.
    """
    from scipy.optimize import minimize

    inputs = np.column_stack([log_ratios, np.ones(len(log_ratios))]).astype(np.float64)
    signs = np.where(present, 1.0, -1.0)

    def loss_and_gradient(weights: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        margins = signs * (inputs @ weights)
        loss = np.logaddexp(0, -margins).mean() + _PRIOR / 2 * weights @ weights
        slopes = -signs * np.exp(-np.logaddexp(0, margins))
        return float(loss), inputs.T @ slopes / len(inputs) + _PRIOR * weights

    bounds = [(0, None), (0, None), (None, None)]
    solution = minimize(loss_and_gradient, np.zeros(3), jac=True, method="L-BFGS-B", bounds=bounds)
    image, patches, offset = (float(weight) for weight in solution.x)
    return PresenceRule(image=image, patches=patches, offset=offset)


def presence_observations(
    explainer: Explainer, dataset: Dataset
) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Yield log ratios (b, C, 2) and presence (b, C) of all C classes in b images at a time."""
    names = tuple(dataset.names)
    texts = explainer.encode(names)
    for start in range(0, len(dataset), _BATCH):
        samples = [dataset[index] for index in range(start, min(start + _BATCH, len(dataset)))]
        explanation = explainer.explain_images(
            [
                read_image(sample.image, name=f"image {start + n}")
                for n, sample in enumerate(samples)
            ],
            texts,
        )
        assert explanation.reference_log_ratios is not None  # the explainer has a vocabulary
        present = [[name in sample.present for name in names] for sample in samples]
        yield (
            explanation.reference_log_ratios.transpose(1, 2).double().numpy(),
            np.array(present, dtype=bool),
        )
