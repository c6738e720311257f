"""Explainer: images and texts to an Explanation, in batches.

It holds a model, a method and the settings between them; it has no state that a call changes,
so threads may share one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import FewTextsWarning, InputError, WeightsError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, FramingRule, Size
from clip_surgery.inputs.images import ImageSource, InputImage, read_image, to_pixels
from clip_surgery.inputs.texts import check_texts
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.method import Evidence, Method
from clip_surgery.methods.registry import as_method
from clip_surgery.surgery.reference_log_ratios import reference_log_ratios
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.cache import TextCache
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """A model and a method, ready to explain images.

    Attributes:
        backbone: the model.
        method: how it is explained.
        templates: prompt templates, each with one "{}".
        framing: how images are laid into the model's frame.
        batch_size: images of one frame that run together.
        cache: where text features are kept on disk, None for nowhere.
        truncate: cut texts over the context length instead of refusing them.
        vocabulary: reference words, for presence and for `redundancy="vocabulary"`.

    Raises:
        InputError: when batch_size is below 1.

    Example:
        >>> import numpy as np
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo")
        >>> picture = np.zeros((96, 128, 3), dtype=np.uint8)
        >>> explainer([picture], ["dog", "boat"]).patch_scores[0].shape
        torch.Size([2, 12, 16])
    """

    backbone: Backbone
    method: Method
    templates: tuple[str, ...]
    framing: FramingRule = field(default_factory=FramingRule)
    batch_size: int = 8
    cache: TextCache | None = None
    truncate: bool = False
    vocabulary: tuple[str, ...] | None = None
    _reference_memo: dict[Any, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(f"Expected batch_size of at least 1, but got {self.batch_size}.")

    def with_method(self, method: str | Method) -> Explainer:
        """The same model and settings with another method."""
        return replace(self, method=as_method(method))

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Text features of the labels, once for many calls of `explain_pixels`.

        Raises:
            InputError: when there is no text, or one is empty, repeated or too long.
        """
        features = self._encode(check_texts(texts))
        if self.vocabulary is None:
            return features
        return replace(features, reference=self._reference_features(self.vocabulary))

    def _reference_features(self, vocabulary: tuple[str, ...]) -> Tensor:
        """Features (V, D) of the reference words, encoded once for this explainer."""
        backbone = self.backbone
        key = (vocabulary, self.templates, backbone.fingerprint(), str(backbone.device))
        if key not in self._reference_memo:
            self._reference_memo.clear()
            self._reference_memo[key] = self._encode(check_texts(vocabulary)).labels
        return self._reference_memo[key]

    def _encode(self, texts: tuple[str, ...]) -> TextFeatures:
        with torch.no_grad():
            return encode_texts(
                self.backbone,
                texts,
                templates=self.templates,
                cache=self.cache,
                truncate=self.truncate,
            )

    def __call__(
        self, images: Sequence[ImageSource | InputImage] | ImageSource, texts: Sequence[str]
    ) -> Explanation:
        """Explain images for texts: evidence per patch, and one score an image and text.

        Args:
            images: paths, bytes, PIL images or numpy arrays (H, W, 3) uint8; sizes may differ.
            texts: the labels, C of them, without templates.

        Raises:
            InputError: when an image or text cannot be used; the message names it.
            UnsupportedModelError: when the model lacks a part that the method needs.
        """
        listed: Sequence[ImageSource | InputImage]
        single = str | bytes | bytearray | memoryview
        if isinstance(images, Sequence) and not isinstance(images, single):
            listed = images
        else:
            listed = [images]
        pictures = [
            read_image(
                image, name=None if isinstance(image, str | Path | InputImage) else f"image {index}"
            )
            for index, image in enumerate(listed)
        ]
        return self.explain_images(pictures, self.encode(texts))

    def explain_images(self, pictures: Sequence[InputImage], texts: TextFeatures) -> Explanation:
        """Explain images that are read already, for texts that are encoded already."""
        framings = tuple(self.frame(picture) for picture in pictures)
        found: dict[int, tuple[Evidence, int]] = {}
        for indices in batches_of_one_frame(framings, self.batch_size):
            pixels = torch.stack([self._framed(pictures[i], framings[i]) for i in indices])
            evidence = self.explain_pixels(pixels, texts)
            found.update((index, (evidence, row)) for row, index in enumerate(indices))
        rows = [found[index] for index in range(len(pictures))]
        similarity = [e.grid.to_map(e.similarity[r]) for e, r in rows if e.similarity is not None]
        ratios = [e.reference_log_ratios[r] for e, r in rows if e.reference_log_ratios is not None]
        return Explanation(
            patch_scores=tuple(e.grid.to_map(e.patches[r]) for e, r in rows),
            similarity=tuple(similarity) if similarity else None,
            image_scores=torch.stack([e.image[r] for e, r in rows])
            if rows
            else torch.zeros(0, len(texts.texts)),
            texts=texts.texts,
            framings=framings,
            images=tuple(picture.name for picture in pictures),
            method=repr(self.method),
            backbone=self.backbone.name,
            reference_log_ratios=torch.stack(ratios) if ratios else None,
        )

    def explain_pixels(self, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Explain pixels (B, 3, H, W) in [0, 1] with sides of whole patches.

        The evidence comes back as float32 on the CPU. Call the method itself, with
        `backbone.normalise(pixels)`, for maps on the device and gradients through them.
        """
        self._warn_of_mirrored_maps(len(texts.texts))
        normalised = self.backbone.normalise(pixels)
        with torch.set_grad_enabled(self.method.needs_gradient):
            evidence = self.method(self.backbone, normalised, texts)
        stands = evidence.reference_log_ratios
        if stands is None and texts.reference is not None:  # a method without dense features
            with torch.no_grad():
                features = ClipSurgery().features(self.backbone.tower, normalised)
                stands = reference_log_ratios(features, texts, scale=self.backbone.logit_scale)
        host_evidence = Evidence(
            patches=_to_host(evidence.patches),
            similarity=None if evidence.similarity is None else _to_host(evidence.similarity),
            image=_to_host(evidence.image),
            grid=evidence.grid,
            reference_log_ratios=None if stands is None else _to_host(stands),
        )
        return self._check_finite(host_evidence)

    def _warn_of_mirrored_maps(self, texts: int) -> None:
        """Warn if feature surgery compares two texts with each other only."""
        if texts == 2 and getattr(self.method, "redundancy", None) == "labels":
            warnings.warn(
                "With exactly two texts, feature surgery gives mirrored maps, because each text is "
                'the only reference of the other. Add texts, or use vocabulary="common" and '
                'redundancy="vocabulary".',
                FewTextsWarning,
                stacklevel=3,
            )

    def _check_finite(self, evidence: Evidence) -> Evidence:
        """Return the evidence, or raise if a score is NaN or infinite."""
        for scores in (evidence.patches, evidence.similarity, evidence.image):
            if scores is not None and not bool(torch.isfinite(scores).all()):
                raise WeightsError(
                    f"{self.backbone.name}: method {self.method.name} gave scores that are not "
                    "finite. Check the weights for NaN, or load the model in float32."
                )
        return evidence

    def frame(self, picture: InputImage) -> Framing:
        """How this image is laid into the model's frame."""
        return self.framing.framing(
            Size(*picture.size),
            native_size=self.backbone.image_size,
            patch_size=self.backbone.tower.patch_size,
        )

    def pixels(self, picture: InputImage) -> Tensor:
        """One image as the model's tower takes it: framed and normalised, (1, 3, H, W)."""
        return self.backbone.normalise(self._framed(picture, self.frame(picture))[None])

    def _framed(self, picture: InputImage, framing: Framing) -> Tensor:
        """The image in its frame (3, H, W) in [0, 1]."""
        return to_pixels(framing.apply(picture.image, margin=self._margin))

    @property
    def _margin(self) -> tuple[int, int, int]:
        """The model's mean colour: zero after normalisation, so margins say nothing."""
        red, green, blue = (round(255 * mean) for mean in self.backbone.image_mean)
        return red, green, blue


def batches_of_one_frame(framings: Sequence[Framing], batch_size: int) -> Iterator[list[int]]:
    """Indices of images that can run together: of one frame, at most `batch_size`."""
    by_frame: dict[Size, list[int]] = {}
    for index, framing in enumerate(framings):
        by_frame.setdefault(framing.frame, []).append(index)
    for indices in by_frame.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]


def _to_host(scores: Tensor) -> Tensor:
    return scores.detach().float().cpu()
