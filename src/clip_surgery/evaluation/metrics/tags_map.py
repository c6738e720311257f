"""Tags mAP: average precision of every name over the pictures, mean over names.

For three scores: feature surgery on the class feature, CLIP's softmax, and the plain cosine. The
scores themselves are kept, 4 bytes each: 5,000 pictures of 80 names take 5 MB.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.metrics.pixel_ranking import ap_and_auc
from clip_surgery.tasks.tags import TagScore, tag_scores

SCORES: tuple[TagScore, ...] = ("surgery", "softmax", "cosine")


class TagsMap:
    """mAP in percent over names that are in some pictures and not in others."""

    name = "tags mAP"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.scores: dict[str, list[Tensor]] = {score: [] for score in SCORES}
        self.present: list[Tensor] = []

    def update(self, case: Case) -> None:
        """Take one picture in."""
        asked = list(SCORES) + (["presence"] if case.explanation.standing is not None else [])
        for score in asked:
            kept = self.scores.setdefault(score, [])
            kept.append(tag_scores(case.explanation, score=score)[0])
        self.present.append(torch.tensor([name in case.sample.present for name in case.names]))

    def merge(self, other: TagsMap) -> None:
        """Add another part."""
        for score, kept in other.scores.items():
            self.scores.setdefault(score, []).extend(kept)
        self.present += other.present

    def compute(self) -> dict[str, float]:
        """MAP (%) by score."""
        values = {}
        for score, kept in self.scores.items():
            if len(kept) != len(self.present) or not kept:
                continue
            scores, present = torch.stack(kept), torch.stack(self.present)
            precisions = [
                float(ap_and_auc(scores[:, index], present[:, index])[0])
                for index in range(scores.shape[1])
                if present[:, index].any() and not present[:, index].all()
            ]
            if precisions:
                values[f"tags mAP {score}"] = 100 * sum(precisions) / len(precisions)
        return values
