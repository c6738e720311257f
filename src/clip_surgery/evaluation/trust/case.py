"""One image and one of its texts, for which the maps of methods are checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from clip_surgery.explainer import Explainer
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.patch_centres import patches_in_image
from clip_surgery.text.features import TextFeatures

ABSENT = GIBBERISH = 3
"""Number of absent words, and of texts without meaning, that a map is compared with."""
_LETTERS = "bcdfghjklmnpqrstvwxz"


def gibberish(seed: int, count: int = GIBBERISH) -> tuple[str, ...]:
    """Return different texts of random consonants, which no model has learnt.

    Example:
        >>> gibberish(0) == gibberish(0), len(set(gibberish(1)))
        (True, 3)
    """
    generator = np.random.default_rng(seed)
    texts: dict[str, None] = {}
    while len(texts) < count:
        letters = generator.choice(list(_LETTERS), generator.integers(6, 11))
        texts["".join(letters)] = None
    return tuple(texts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What all methods share for one image: pixels, texts, and scores of changed pixels.

    Attributes:
        explainer: the model; its method does not matter.
        image: the image.
        classes: features of all class names, the target among them.
        target: index of the text of the map in `classes`.
        absent: indices of words that are not in the image.
        nonsense: features of texts without meaning.
        others: images without the target, for mosaics.
        seed: seed of random orders, sets and noise.
    """

    explainer: Explainer
    image: InputImage
    classes: TextFeatures
    target: int
    absent: tuple[int, ...]
    nonsense: TextFeatures
    others: tuple[InputImage, ...] = ()
    seed: int = 0

    @cached_property
    def pixels(self) -> Tensor:
        """The normalised input of the model (1, 3, H, W)."""
        return self.explainer.pixels(self.image)

    @cached_property
    def grid(self) -> PatchGrid:
        """The grid of patches of the input."""
        return self.explainer.backbone.tower.grid(self.pixels)

    @cached_property
    def inside(self) -> Tensor:
        """The patches that show the image and no margin, (rows, columns) bool."""
        framing = self.explainer.frame(self.image)
        return patches_in_image(framing, self.grid.rows, self.grid.columns)

    @cached_property
    def random_map(self) -> Tensor:
        """A map of random numbers (rows, columns): the order that a map must beat."""
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(self.grid.rows, self.grid.columns, generator=generator)

    @cached_property
    def text(self) -> TextFeatures:
        """Features of the target, followed by those of absent words and texts without meaning."""
        rows = [self.target, *self.absent]
        return replace(
            self.classes,
            texts=(*(self.classes.texts[row] for row in rows), *self.nonsense.texts),
            labels=torch.cat([self.classes.labels[rows], self.nonsense.labels]),
        )

    def cosines(self, frames: list[Tensor]) -> Tensor:
        """Return the cosine of the target in each frame (3, H, W), as (n,) float32 on the CPU."""
        return self._scores(
            frames, lambda image: cosine(image, self.classes.labels)[:, self.target]
        )

    def probabilities(self, frames: list[Tensor]) -> Tensor:
        """Return the probability of the target among all class names in each frame, (n,).

        A single class competes with the empty text.
        """
        words = self.classes.labels
        if len(words) == 1:
            words = torch.cat([words, self.classes.empty[None]])
        scale = self.explainer.backbone.logit_scale
        return self._scores(
            frames, lambda image: (scale * cosine(image, words)).softmax(-1)[:, self.target]
        )

    @torch.no_grad()
    def _scores(self, frames: list[Tensor], score: Callable[[Tensor], Tensor]) -> Tensor:
        size, tower = max(1, self.explainer.batch_size), self.explainer.backbone.tower
        batches = [frames[start : start + size] for start in range(0, len(frames), size)]
        return torch.cat([score(walk(tower, torch.stack(batch)).image).cpu() for batch in batches])

    def enlarged(self, patches: Tensor) -> Tensor:
        """Return a value for each pixel (H, W) from one for each patch (rows, columns)."""
        side = self.explainer.backbone.tower.patch_size
        return patches.repeat_interleave(side, 0).repeat_interleave(side, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodOnCase:
    """The maps of one method for a case."""

    case: Case
    explainer: Explainer

    @cached_property
    def maps(self) -> Tensor:
        """Maps (1 + absent + nonsense, rows, columns) of `Case.text` for the image, signed."""
        return self.explain(self.case.pixels, self.case.text)

    @property
    def map(self) -> Tensor:
        """The map of the target (rows, columns)."""
        return self.maps[0]

    @cached_property
    def target_text(self) -> TextFeatures:
        """The target with two absent words, as methods that compare texts need."""
        text = self.case.text
        return replace(text, texts=text.texts[:3], labels=text.labels[:3])

    def explain(
        self, pixels: Tensor, texts: TextFeatures, explainer: Explainer | None = None
    ) -> Tensor:
        """Return the signed maps (C, rows, columns) for normalised pixels (1, 3, H, W)."""
        explainer = explainer or self.explainer
        method = explainer.method
        with torch.set_grad_enabled(method.needs_gradient):
            evidence = method(explainer.backbone, pixels, texts)
        return evidence.grid.to_map(evidence.patches[0].detach().float().cpu())
