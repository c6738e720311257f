"""Explanations made of given scores, for tests of what is done with them."""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size

SQUASH = Framing.squash(Size(40, 60), frame=Size(64, 64))


def explained(
    *scores: Tensor,
    framing: Framing | tuple[Framing, ...] = SQUASH,
    texts: tuple[str, ...] | None = None,
    similarity: bool = False,
    image_scores: Tensor | None = None,
    reference_log_ratios: Tensor | None = None,
) -> Explanation:
    """One image for each (C, rows, columns); `similarity` repeats the scores as the dense one."""
    texts = texts or tuple(f"text {index}" for index in range(scores[0].shape[0]))
    return Explanation(
        patch_scores=scores,
        similarity=scores if similarity else None,
        image_scores=torch.zeros(len(scores), len(texts)) if image_scores is None else image_scores,
        texts=texts,
        framings=framing if isinstance(framing, tuple) else (framing,) * len(scores),
        images=tuple(f"{index}.jpg" for index in range(len(scores))),
        method="test",
        backbone="test",
        reference_log_ratios=reference_log_ratios,
    )


def random_scores(*shape: int, seed: int = 0) -> Tensor:
    """Normal scores from a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
