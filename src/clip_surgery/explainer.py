"""The explainer: a model and a method, which explain images for texts in batches.

Calls do not change the settings of an explainer, and threads may share one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.deferred_tensor import unread
from clip_surgery.errors import InputError, WeightsError
from clip_surgery.evidence_rows import EvidenceRow, evidence_rows, joined_scores
from clip_surgery.explanation import Explanation
from clip_surgery.framed_images import batches_of_one_frame, framed_pixels
from clip_surgery.framing import Framing, FramingRule, Size
from clip_surgery.inputs.image_lists import as_image_list
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.inputs.texts import check_texts
from clip_surgery.methods.applied_settings import applied_settings
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.method import Evidence, Method
from clip_surgery.methods.registry import as_method
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.presence_rule_files import read_rule, rule_path
from clip_surgery.surgery.deferred_log_ratios import deferred_log_ratios
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.cache import TextCache
from clip_surgery.text.features import TextFeatures

REFERENCE_TEMPLATES = ("a photo of a {}.",)
"""Prompt template of the reference words.

A single template keeps the cost of many words low. Maps and probabilities of presence of the demo
model are as good as with 85 templates (decision 0015).
"""

_NAMED_IMAGES = (str, os.PathLike, InputImage)
"""Images with a name of their own; others are called "image 0" and so on."""


@dataclass(frozen=True, kw_only=True)
class Explainer:
    """A model and a method that explain images.

    Attributes:
        backbone: the model.
        method: the method that computes the scores.
        templates: prompt templates, each with one "{}" for the text.
        framing: how images are resized to the input of the model.
        batch_size: maximum number of images that the model processes at a time.
        cache: cache of text features on disk, or None for no cache.
        truncate: whether texts over the context length are cut; otherwise they are refused.
        vocabulary: reference words, with which texts are compared for presence and in feature
            surgery, or None. They are encoded with `REFERENCE_TEMPLATES`.
        presence_rule: how presence is computed. If None, it is the rule that `calibrate_presence`
            has stored for this model in the cache, otherwise the default of `PresenceRule`.

    Raises:
        InputError: if batch_size is not a whole number of at least 1.

    Example:
        >>> import numpy as np
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo")
        >>> image = np.zeros((96, 128, 3), dtype=np.uint8)
        >>> explainer([image], ["dog", "boat"]).patch_scores[0].shape
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
    presence_rule: PresenceRule | None = None
    _reference_memo: dict[Any, Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        whole = isinstance(self.batch_size, int) and not isinstance(self.batch_size, bool)
        if not whole or self.batch_size < 1:
            raise InputError(f"Expected batch_size of at least 1, but got {self.batch_size!r}.")

    def with_method(self, method: str | Method) -> Explainer:
        """Return an explainer of the same model and settings with another method."""
        explainer = replace(self, method=as_method(method))
        explainer._reference_memo.update(self._reference_memo)
        return explainer

    @property
    def model_name(self) -> str:
        """The name of the model in results, with that of the companion if the method needs it."""
        return self.backbone.name_with(getattr(self.method, "needs", ()))

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the features of texts, which many calls of `explain_pixels` can use.

        The reference words of the vocabulary are encoded in the first call only.

        Raises:
            InputError: if there is no text, or one is empty, repeated or too long.
        """
        features = self._encode(
            check_texts(texts), templates=self.templates, truncate=self.truncate
        )
        if self.vocabulary is None:
            return features
        return replace(features, reference=self._reference_features(self.vocabulary))

    def _reference_features(self, vocabulary: tuple[str, ...]) -> Tensor:
        """Features (V, D) of the reference words, encoded once for this explainer."""
        backbone = self.backbone
        key = (vocabulary, backbone.fingerprint(), str(backbone.device))
        if key not in self._reference_memo:
            self._reference_memo.clear()
            words = check_texts(vocabulary)
            features = self._encode(words, templates=REFERENCE_TEMPLATES, truncate=True)
            self._reference_memo[key] = features.labels
        return self._reference_memo[key]

    def presence_rule_path(self) -> Path | None:
        """Return the file of the calibrated rule; None without a cache or without vocabulary."""
        if self.cache is None or self.vocabulary is None:
            return None
        return rule_path(
            self.cache.directory,
            model=self.backbone.name,
            fingerprint=self.backbone.fingerprint(),
            vocabulary=self.vocabulary,
        )

    def find_presence_rule(self) -> PresenceRule | None:
        """Return the rule of this explainer, or the stored one of its model, or None."""
        path = self.presence_rule_path() if self.presence_rule is None else None
        return self.presence_rule if path is None else read_rule(path)

    def _encode(
        self, texts: tuple[str, ...], *, templates: tuple[str, ...], truncate: bool
    ) -> TextFeatures:
        with torch.no_grad():
            return encode_texts(
                self.backbone, texts, templates=templates, cache=self.cache, truncate=truncate
            )

    def __call__(
        self, images: Sequence[ImageSource | InputImage] | ImageSource, texts: Sequence[str]
    ) -> Explanation:
        """Explain images for texts: a score for each patch and text, and for each image and text.

        Args:
            images: one image or several: paths, bytes, PIL images or numpy arrays (H, W, 3) uint8.
                Their sizes may differ.
            texts: C texts, without templates.

        Raises:
            InputError: if an image or text cannot be used; the message names it.
            UnsupportedModelError: if the model lacks a part that the method needs.
            WeightsError: if the scores are not finite.
        """
        input_images = [
            read_image(image, name=None if isinstance(image, _NAMED_IMAGES) else f"image {index}")
            for index, image in enumerate(as_image_list(images))
        ]
        return self.explain_images(input_images, self.encode(texts))

    def explain_images(
        self, input_images: Sequence[InputImage], texts: TextFeatures
    ) -> Explanation:
        """Explain images that have been read, for texts that have been encoded.

        A batch that does not fit into the memory is divided. If a single image does not fit, the
        error of torch is raised.

        Raises:
            UnsupportedModelError: if the model lacks a part that the method needs.
            WeightsError: if the scores are not finite.
        """
        framings = tuple(self.frame(image) for image in input_images)

        def explain_batch(indices: Sequence[int]) -> Evidence:
            pixels = torch.stack([self._framed(input_images[i], framings[i]) for i in indices])
            return self.explain_pixels(pixels, texts)

        rows: dict[int, EvidenceRow] = {}
        for indices in batches_of_one_frame(framings, self.batch_size):
            rows.update(zip(indices, evidence_rows(explain_batch, indices), strict=True))
        in_order = [rows[index] for index in range(len(input_images))]
        scores = joined_scores(in_order, texts=len(texts.texts))
        has_presence = scores["reference_log_ratios"] is not None
        return Explanation(
            **scores,
            texts=texts.texts,
            framings=framings,
            images=tuple(image.name for image in input_images),
            method=repr(applied_settings(self.method, self.backbone.tower)),
            backbone=self.model_name,
            presence_rule=self.find_presence_rule() if has_presence else None,
        )

    def explain_pixels(self, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Explain pixels for texts that have been encoded.

        For maps on the device, or gradients through them, call the method itself with
        `backbone.normalise(pixels)`.

        Args:
            pixels: (B, 3, H, W) in [0, 1], with sides of whole patches.
            texts: features of C texts, from `encode`.

        Returns:
            The evidence as float32 on the CPU.

        Raises:
            UnsupportedModelError: if the model lacks a part that the method needs.
            WeightsError: if the scores are not finite, for example because weights are NaN.
        """
        if isinstance(self.method, DenseMethod):
            self.method.warn_of_mirrored_maps(texts, stacklevel=3)
        with torch.set_grad_enabled(self.method.needs_gradient):
            evidence = self.method(self.backbone, self.backbone.normalise(pixels), texts)
        evidence = evidence.to_host()
        if not evidence.is_finite():
            raise WeightsError(
                f"{self.backbone.name}: method {self.method.name} gave scores that are not "
                "finite. Check the weights for NaN, or load the model in float32."
            )
        if unread(evidence, "reference_log_ratios") is None and texts.reference is not None:
            # The method has no patch features.
            ratios: Any = deferred_log_ratios(self.backbone, pixels, texts)
            return replace(evidence, reference_log_ratios=ratios)
        return evidence

    def frame(self, image: InputImage) -> Framing:
        """Return how this image is resized to the input of the model."""
        return self.framing.framing(
            Size(*image.size),
            native_size=self.backbone.image_size,
            patch_size=self.backbone.tower.patch_size,
        )

    def pixels(self, image: InputImage) -> Tensor:
        """Return one image resized and normalised as the input of the image tower, (1, 3, H, W)."""
        return self.backbone.normalise(self._framed(image, self.frame(image))[None])

    def _framed(self, image: InputImage, framing: Framing) -> Tensor:
        return framed_pixels(image, framing, mean_rgb=self.backbone.image_mean)
