"""The rule by which log ratios to reference words become a probability of presence.

With e the log ratio of a text for the whole image and d that for its best patches (see
`surgery.reference_log_ratios`),

    presence = sigmoid(a e + b d + c)

Both ratios are needed: a small object hardly changes the feature of the image, and a single patch
can look like an object because of its texture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True)
class PresenceRule:
    """Coefficients of the logistic regression from log ratios to the probability of presence.

    The defaults were fitted on 600 generated scenes with the demo model, in which one of 23 texts
    was present (`benchmarks/presence.py`). With other models the order of the texts is meaningful,
    and the probabilities are those of the same log ratios; `calibrate_presence` fits a rule for
    them.

    Attributes:
        image: a, the weight of the log ratio of the whole image.
        patches: b, the weight of the log ratio of the best patches.
        offset: c. A higher offset makes every text more probable.

    Raises:
        InputError: if a coefficient is not finite, or a weight is negative (presence would then
            fall with the similarity).
    """

    image: float = 1.11
    patches: float = 0.86
    offset: float = -2.58

    def __post_init__(self) -> None:
        coefficients = (self.image, self.patches, self.offset)
        if not all(map(math.isfinite, coefficients)):
            raise InputError(f"Expected finite coefficients, but got {coefficients}.")
        if not (self.image >= 0 and self.patches >= 0):
            raise InputError(
                f"Expected weights of 0 or more, but got {self.image} and {self.patches}."
            )

    def probabilities(self, log_ratios: Tensor) -> Tensor:
        """Return the probability of presence (B, C) for log ratios (B, 2, C) of image and patches.

        Example:
            >>> PresenceRule(image=1, patches=1, offset=0).probabilities(torch.zeros(1, 2, 1))
            tensor([[0.5000]])
        """
        return torch.sigmoid(self.scores(log_ratios))

    def scores(self, log_ratios: Tensor) -> Tensor:
        """Return the logit of the probability (B, C) for log ratios (B, 2, C)."""
        image, patches = log_ratios.float().unbind(dim=1)
        return self.image * image + self.patches * patches + self.offset
