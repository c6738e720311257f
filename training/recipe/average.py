"""The exponential moving average of the weights of a run."""

from __future__ import annotations

import copy

import torch
from open_clip.model import CLIP


class Average:
    """A second model whose weights follow those in training: w += (1 - decay) (current - w).

    The decay is smaller in the first steps, so that the fresh weights are soon forgotten. With a
    decay of 0, `model` is the model in training itself.
    """

    def __init__(self, model: CLIP, decay: float) -> None:
        self.current, self.decay = model, decay
        self.model = copy.deepcopy(model).requires_grad_(False) if decay else model

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Take the current weights in, after this many steps of the run."""
        if not self.decay:
            return
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        own, current = list(self.model.parameters()), list(self.current.parameters())
        torch._foreach_lerp_(own, [value.detach() for value in current], share)
