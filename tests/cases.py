"""Evaluated images made of given scores and masks, for tests of metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage, texts_to_explain
from clip_surgery.explainer import Explainer
from clip_surgery.framing import Framing, Size
from tests.explanations import explained, random_scores

NAMES = ("cat", "dog", "bus", "tree")


def sample_of(
    mask: NDArray[np.int64],
    names: tuple[str, ...] = NAMES,
    *,
    present: frozenset[str] | None = None,
    seed: int = 0,
) -> Sample:
    """An image of noise with this mask; by default the classes in the mask are present."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    seen = frozenset(names[index] for index in np.unique(mask) if index >= 0)
    return Sample(
        image=Image.fromarray(pixels),
        mask=mask.astype(np.int64, copy=False),
        present=seen if present is None else present,
    )


def case_of(
    mask: NDArray[np.int64],
    scores: Tensor,
    names: tuple[str, ...] = NAMES,
    *,
    present: frozenset[str] | None = None,
    prompts: tuple[tuple[str, ...], ...] | None = None,
    background: tuple[str, ...] = (),
    **parts: Any,
) -> EvaluatedImage:
    """Scores (texts, rows, columns) for a mask. If both have one size, each patch is a pixel."""
    size = Size(*mask.shape)
    asked = tuple((name,) for name in names) if prompts is None else prompts
    explanation = explained(
        scores.float(),
        framing=Framing.squash(size, frame=size),
        texts=texts_to_explain(asked, background),
        **{"similarity": True, **parts},
    )
    return EvaluatedImage(
        explanation=explanation,
        sample=sample_of(mask, names, present=present),
        names=names,
        prompts=prompts,
        background=background,
    )


def random_mask(seed: int, height: int = 12, width: int = 16) -> NDArray[np.int64]:
    """A mask of random blocks with values from -2 (not judged) to 2."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(-2, 3, (height // 4, width // 4))
    return np.kron(blocks, np.ones((4, 4), np.int64)).astype(np.int64)


def random_case(seed: int, **parts: Any) -> EvaluatedImage:
    """Normally distributed scores with some ties, and a random mask."""
    mask = random_mask(seed)
    scores = random_scores(len(NAMES), *mask.shape, seed=seed).round(decimals=1)
    given = {
        "image_scores": random_scores(1, len(NAMES), seed=seed),
        "reference_log_ratios": random_scores(1, 2, len(NAMES), seed=seed + 1),
        **parts,
    }
    return case_of(mask, scores, **given)


def explained_case(
    explainer: Explainer, sample: Sample, names: tuple[str, ...] = NAMES
) -> EvaluatedImage:
    """The explanation of a sample by a model, with the model."""
    return EvaluatedImage(
        explanation=explainer([sample.image], names),
        sample=sample,
        names=names,
        explainer=explainer,
    )
