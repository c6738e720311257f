"""Slices of errors: groups of similar images on which the model errs.

Source: Domino, Eyuboglu et al. (arXiv 2203.14960): a mixture over the embedding, the true label and
the predicted label, fitted by expectation maximisation. Slices are ranked by the difference between
the two distributions of labels. A slice is named by the word along the difference of its mean from
the mean of all images.

Parts of scikit-learn are used for the principal components and the first clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip_surgery.audits.concepts import Numbers, centred
from clip_surgery.evaluation.intervals import Interval

COMPONENTS = 128
MIXTURE = 25
SLICES = 5
LABEL_WEIGHT = 10.0
"""Weight of the labels against the embedding, as in the paper."""
_STEPS = 100
_FEWEST = 5
_SMOOTHING = 1e-3


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A group of similar images on which the model errs.

    Attributes:
        name: the word that sets it apart from all images.
        images: indices of its images, the most typical first.
        accuracy: share of right labels in the slice.
        truth: the most frequent true label.
        prediction: the most frequent predicted label.
    """

    name: str
    images: tuple[int, ...]
    accuracy: Interval
    truth: str
    prediction: str


def error_slices(
    embeddings: Numbers,
    truth: NDArray[np.int64],
    predictions: NDArray[np.int64],
    words: Numbers,
    names: Sequence[str],
    *,
    labels: int,
) -> list[Slice]:
    """Return up to five slices with errors, the worst first.

    Args:
        embeddings: image features (N, D), of unit length.
        truth: index of the true label of each image, (N,).
        predictions: index of the predicted label, (N,).
        words: text features (W, D), those of the labels first.
        names: the W words.
        labels: number of labels.

    Returns:
        No slice if there are fewer than ten images or no error.
    """
    if len(embeddings) < 2 * _FEWEST or not (truth != predictions).any():
        return []
    points = _principal(embeddings)
    count = min(MIXTURE, len(points) // _FEWEST)
    assigned, shares, guesses = fit_mixture(points, truth, predictions, count=count, labels=labels)
    order = np.argsort(-np.abs(shares - guesses).sum(axis=1), kind="stable")
    directions, centre, slices = centred(words), embeddings.mean(axis=0), []
    for component in order:
        weights = assigned[:, component]
        members = np.flatnonzero(assigned.argmax(axis=1) == component)
        right = truth[members] == predictions[members]
        if len(members) < _FEWEST or right.all():
            continue
        mean = embeddings[members].mean(axis=0)
        wrong_first = np.lexsort((-weights[members], right))
        slices.append(
            Slice(
                name=names[int((directions @ (mean - centre)).argmax())],
                images=tuple(int(index) for index in members[wrong_first]),
                accuracy=Interval.of_share(int(right.sum()), len(members)),
                truth=names[int(np.bincount(truth[members]).argmax())],
                prediction=names[int(np.bincount(predictions[members]).argmax())],
            )
        )
    return sorted(slices[:SLICES], key=lambda error_slice: error_slice.accuracy.mean)


def fit_mixture(
    points: NDArray[np.float64],
    truth: NDArray[np.int64],
    predictions: NDArray[np.int64],
    *,
    count: int,
    labels: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Fit the mixture and return the responsibilities (N, K) and P(label), P(prediction) (K, L).

    log p(n, k) = log pi_k + log N(x_n; mu_k, diag sigma_k) + w (log P_k(y_n) + log Q_k(y'_n))

    Args:
        points: (N, d).
        truth: (N,) indices of labels.
        predictions: (N,) indices of labels.
        count: number of components K, at least 1.
        labels: number of labels L.
    """
    from sklearn.cluster import KMeans

    start = KMeans(count, n_init=1, random_state=0).fit(points).labels_
    assigned = np.eye(count)[start]
    is_truth, is_guess = np.eye(labels)[truth], np.eye(labels)[predictions]
    floor = 1e-3 * points.var(axis=0).mean() + 1e-9
    before = -np.inf
    for _ in range(_STEPS):
        mass = assigned.sum(axis=0) + 1e-9
        means = assigned.T @ points / mass[:, None]
        variances = np.maximum(assigned.T @ points**2 / mass[:, None] - means**2, floor)
        shares = (assigned.T @ is_truth + _SMOOTHING) / (mass + labels * _SMOOTHING)[:, None]
        guesses = (assigned.T @ is_guess + _SMOOTHING) / (mass + labels * _SMOOTHING)[:, None]
        distances = (
            points**2 @ (1 / variances).T
            - 2 * points @ (means / variances).T
            + (means**2 / variances).sum(axis=1)
        )
        logits = (
            np.log(mass / len(points))
            - 0.5 * (distances + np.log(2 * np.pi * variances).sum(axis=1))
            + LABEL_WEIGHT * (np.log(shares).T[truth] + np.log(guesses).T[predictions])
        )
        top = logits.max(axis=1, keepdims=True)
        total = top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        assigned = np.exp(logits - total)
        likelihood = float(total.mean())
        if likelihood - before < 1e-6:
            break
        before = likelihood
    return assigned, shares, guesses


def _principal(embeddings: Numbers) -> NDArray[np.float64]:
    from sklearn.decomposition import PCA

    components = min(COMPONENTS, *embeddings.shape, len(embeddings) - 1)
    reduced = PCA(components, random_state=0).fit_transform(embeddings.astype(np.float64))
    return np.asarray(reduced, dtype=np.float64)
