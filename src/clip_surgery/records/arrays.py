"""Explanations as arrays for NumPy, for readers without this library."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clip_surgery.explanation import Explanation
from clip_surgery.tasks.presence import presence


def save_arrays(explanation: Explanation, path: Path) -> None:
    """Write the raw scores of one image as an npz file, which holds no pickled objects.

    The file contains `patch_scores` (C, rows, columns), `similarity` of the same shape if the
    method has it, `image_scores` (C,), `presence` (C,) if the explanation was made with reference
    words, `texts` (C,), `image`, `size_hw` (height and width of the image), `method` and
    `backbone`.

    Args:
        explanation: the explanation of one image for C texts.
        path: the file.

    Raises:
        OSError: if the file cannot be written.
    """
    original = explanation.framings[0].original
    arrays = {
        "patch_scores": explanation.patch_scores[0].numpy(),
        "image_scores": explanation.image_scores[0].numpy(),
        "texts": np.array(explanation.texts),
        "image": np.array(explanation.images[0]),
        "size_hw": np.array([original.height, original.width]),
        "method": np.array(explanation.method),
        "backbone": np.array(explanation.backbone),
    }
    if explanation.similarity is not None:
        arrays["similarity"] = explanation.similarity[0].numpy()
    if explanation.reference_log_ratios is not None:
        arrays["presence"] = presence(explanation)[0].numpy()
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
