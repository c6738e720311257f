"""The labels of images whose objects or backgrounds are changed, image by image.

Backgrounds come from earlier images, so that only a few are in memory: one of each label. Cost: 6
forward passes for an image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clip_surgery.audits.with_masks import MaskedOutcome, on_background, with_noise
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.trust.imputation import impute
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import walk


class MaskedImages:
    """Measures images one after the other, with backgrounds of earlier ones.

    Args:
        explainer: the model.
        words: text features (W, D), those of the labels first.
        names: the W words.
        labels: number of labels.
    """

    def __init__(
        self, explainer: Explainer, words: Tensor, names: tuple[str, ...], *, labels: int
    ) -> None:
        self.explainer, self.words, self.names, self.labels = explainer, words, names, labels
        self.backgrounds: dict[int, Tensor] = {}

    @torch.no_grad()
    def measure(self, sample: Sample, seed: int) -> MaskedOutcome | None:
        """Return the outcome of an image for its largest object, or None without an object."""
        counts = np.bincount(sample.mask[sample.mask >= 0].ravel(), minlength=self.labels)
        if not counts[: self.labels].any():
            return None
        label = int(counts[: self.labels].argmax())
        image = read_image(sample.image, name=f"image {seed}")
        pixels = self.explainer.pixels(image)[0].float()
        mask = self._framed(sample.mask == label, pixels)
        objects = self._framed(sample.mask >= 0, pixels)
        empty = impute(pixels, objects, seed=seed)
        same = self.backgrounds.get(label)
        others = [background for n, background in self.backgrounds.items() if n != label]
        different = others[seed % len(others)] if others else None
        frames = [
            pixels,
            empty,
            with_noise(pixels, ~mask, seed=seed),
            with_noise(pixels, mask, seed=seed),
        ]
        frames += [on_background(pixels, mask, b) for b in (same, different) if b is not None]
        stacked = torch.stack(frames).to(self.explainer.backbone.dtype)
        features = walk(self.explainer.backbone.tower, stacked).image
        similarity = cosine(features, self.words).cpu()
        right = (similarity[:, : self.labels].argmax(dim=1) == label).tolist()
        contexts = similarity[1, self.labels :]
        background = int(contexts.argmax()) + self.labels if len(contexts) else None
        self.backgrounds[label] = empty
        on_same = right[4] if same is not None else None
        return MaskedOutcome(
            label=self.names[label],
            background="" if background is None else self.names[background],
            whole=right[0],
            same=on_same,
            different=right[-1] if different is not None else None,
            noisy_background=right[2],
            noisy_object=right[3],
        )

    def _framed(self, mask: np.ndarray, pixels: Tensor) -> Tensor:
        """Return a mask (H, W) of the image at the size of the model's input."""
        values = torch.from_numpy(mask.astype(np.float32))[None, None]
        size = (pixels.shape[-2], pixels.shape[-1])
        resized = torch.nn.functional.interpolate(values, size=size, mode="nearest")[0, 0]
        return resized.to(pixels.device) > 0.5
