"""The base class of methods that compute a feature for each patch.

The similarity of the patch features with the texts, and feature surgery, are the same for all of
these methods. A new method implements `features` and adds its settings.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import FewTextsWarning, InputError, UnknownNameError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.requirements import REPAIR_NEEDS, Part, require
from clip_surgery.refinement.finer_maps import colours_of_cells, refine_maps
from clip_surgery.refinement.registry import Refinement, as_refinement, grid_of_cells
from clip_surgery.surgery.features import Weighting, cosine, feature_surgery
from clip_surgery.surgery.reference_log_ratios import reference_log_ratios
from clip_surgery.surgery.text_shift import shifted_texts, text_clusters
from clip_surgery.surgery.walk import Features
from clip_surgery.text.experts import expert_scores
from clip_surgery.text.features import TextFeatures, TextShift

Redundancy = Literal["auto", "none", "labels", "empty text", "vocabulary"]


@dataclass(frozen=True, kw_only=True)
class DenseMethod(ABC):
    """Settings of all methods with patch features.

    Attributes:
        redundancy: the texts from which the shared component of the similarity is computed, which
            feature surgery removes. "labels": the texts themselves (for a single text, the
            similarity with the empty text is subtracted). "empty text": the empty text.
            "vocabulary": the reference words of `TextFeatures.reference`, with which the map of a
            text does not depend on the other texts. "auto": the reference words if there are any,
            otherwise the texts. "none": nothing is removed.
        weighting: form of feature surgery, "reference" or "paper" (see `feature_surgery`).
        temperature: temperature of the weights in feature surgery; 2 in the paper.
        repair_outliers: whether outlier tokens are replaced by the mean of their neighbours before
            the last block (see `surgery.outliers`). ViT-L/14 and larger towers have many.
        refine: refinement of the similarity along colour edges of the image, on a finer grid:
            "none", "laplacian", "guided", "pamr", "pixel graph" (see `refinement.registry`), or
            an object with settings. The evidence itself is not refined.

    Raises:
        UnknownNameError: if redundancy, weighting or refine is unknown.
        InputError: if refine is neither a name nor a refinement.
    """

    name: ClassVar[str]
    paper: ClassVar[str]
    needs_gradient: ClassVar[bool] = False
    needs: ClassVar[frozenset[Part]] = frozenset()
    features_need_texts: ClassVar[bool] = False
    """Whether maps need more than cosines of exported features, such as the texts themselves."""

    last_block_only: ClassVar[bool] = False
    """Whether the method changes the attention of the last block and reads no earlier block."""

    redundancy: Redundancy = "none"
    weighting: Weighting = "reference"
    temperature: float = 2.0
    repair_outliers: bool = False
    refine: str | Refinement = "none"

    def __post_init__(self) -> None:
        as_refinement(self.refine)
        if self.redundancy not in get_args(Redundancy):
            raise UnknownNameError.among("redundancy", self.redundancy, get_args(Redundancy))
        if self.weighting not in get_args(Weighting):
            raise UnknownNameError.among("weighting", self.weighting, get_args(Weighting))

    @abstractmethod
    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return image and patch features of normalised pixels (B, 3, H, W)."""

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return the features that are compared with texts; by default those of `features`."""
        return self.features(backbone.tower, pixels)

    def window_features(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return what is averaged where windows of one image overlap; by default the features.

        It is what `stitch="outputs"` averages; `whole_features` is called with the mean.
        """
        return self.features_for(backbone, pixels, texts)

    def whole_features(self, backbone: Backbone, pixels: Tensor, features: Features) -> Features:
        """Return the features of whole images; by default those of `window_features`.

        Args:
            backbone: the model.
            pixels: normalised pixels of the whole images (B, 3, H, W).
            features: what `window_features` returned, averaged over windows.
        """
        return features

    def scores(self, features: Features, texts: Tensor) -> Tensor:
        """Return the scores (B, P, C) of patches for texts (C, D); by default their cosines."""
        return cosine(features.patches, texts)

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return the similarity of patches and texts, and the evidence after feature surgery.

        Raises:
            UnsupportedModelError: if the model lacks a part that the method needs, or outliers are
                to be repaired and the tower has no class token or only one block.
            InputError: if redundancy is "vocabulary" and the texts have no reference words.
        """
        self.check(backbone)
        return self.evidence(backbone, pixels, texts, self.features_for(backbone, pixels, texts))

    def check(self, backbone: Backbone) -> None:
        """Raise an `UnsupportedModelError` if the model lacks a part that the method needs."""
        require(backbone, self.needs, purpose=self.name)
        if self.repair_outliers:
            require(backbone, REPAIR_NEEDS, purpose=f"{self.name} with repair_outliers=True")

    def evidence(
        self, backbone: Backbone, pixels: Tensor, texts: TextFeatures, features: Features
    ) -> Evidence:
        """Return the evidence for texts from the features of pixels.

        Args:
            backbone: the model.
            pixels: normalised pixels (B, 3, H, W).
            texts: features of C texts.
            features: features of these pixels, from `features_for`.

        Raises:
            InputError: if redundancy is "vocabulary" and the texts have no reference words.
        """
        similarity = self.scores(features, texts.labels)  # (B, P, C)
        image = cosine(features.image, texts.labels)  # (B, C)
        evidence = self._without_redundancy(features, texts, similarity, image)
        if texts.experts is not None:
            similarity = expert_scores(
                lambda of_expert: self.scores(features, of_expert), texts.experts, similarity
            )
        if texts.shift is not None:
            similarity = self.scores_of_moved_texts(features, texts, texts.shift, image)
        similarity = self.segmentation_scores(backbone, pixels, texts, features, similarity)
        similarity, similarity_grid = self._refined(
            backbone, pixels, texts, features.grid, similarity.transpose(1, 2)
        )
        return Evidence(
            patches=evidence.transpose(1, 2),
            similarity=similarity,
            similarity_grid=similarity_grid,
            image=image,
            grid=features.grid,
            reference_log_ratios=None
            if texts.reference is None
            else reference_log_ratios(features, texts, scale=backbone.logit_scale),
        )

    def segmentation_scores(
        self,
        backbone: Backbone,
        pixels: Tensor,
        texts: TextFeatures,
        features: Features,
        similarity: Tensor,
    ) -> Tensor:
        """Return the scores (B, P, C) that segmentation compares; by default the similarity.

        A method that removes texts from an image changes them here.
        """
        return similarity

    def redundancy_source(self, texts: TextFeatures) -> Redundancy:
        """Return the value of `redundancy` that applies to these texts, which is never "auto".

        A single text has nothing in common with other texts, so that "labels" becomes "empty text".
        """
        source = self.redundancy
        if source == "auto":
            source = "labels" if texts.reference is None else "vocabulary"
        if source == "labels" and len(texts.texts) == 1:
            return "empty text"
        return source

    def warn_of_mirrored_maps(self, texts: TextFeatures, *, stacklevel: int) -> None:
        """Warn if feature surgery compares two texts with each other only.

        Args:
            texts: the texts that are explained.
            stacklevel: number of calls from here to the line that the warning should name.
        """
        if len(texts.texts) == 2 and self.redundancy_source(texts) == "labels":
            warnings.warn(
                "With exactly two texts and no reference words, feature surgery gives mirrored "
                "maps, because each text is the only reference of the other. Add texts, or load "
                'the model with vocabulary="small" and leave redundancy="auto".',
                FewTextsWarning,
                stacklevel=stacklevel,
            )

    def scores_of_moved_texts(
        self, features: Features, texts: TextFeatures, shift: TextShift, image: Tensor
    ) -> Tensor:
        """Return the scores (B, P, C) of patches for texts that move in each image."""
        moved = shifted_texts(
            features.patches,
            texts.labels.to(features.patches.device),
            image,
            text_clusters(texts.labels, cut=shift.cut, linkage=shift.linkage),
            share=shift.share,
        )
        scores = torch.cat(
            [self.scores(features.of_image(index), labels) for index, labels in enumerate(moved)]
        )
        return (1 - shift.image_share) * scores + shift.image_share * image[:, None]

    def _refined(
        self,
        backbone: Backbone,
        pixels: Tensor,
        texts: TextFeatures,
        grid: PatchGrid,
        similarity: Tensor,
    ) -> tuple[Tensor, PatchGrid | None]:
        """Return the similarity (B, C, cells) after `refine`, and its grid if that is finer."""
        refinement = as_refinement(self.refine)
        if refinement is None:
            return similarity, None
        height, width = pixels.shape[-2:]
        cells = grid_of_cells(height, width, refinement.cells)
        colours = colours_of_cells(backbone.denormalise(pixels), cells)
        maps = refine_maps(grid.to_map(similarity), colours, refinement, texts=texts.labels)
        return cells.from_map(maps), cells

    def _without_redundancy(
        self, features: Features, texts: TextFeatures, similarity: Tensor, image: Tensor
    ) -> Tensor:
        """Return the similarity (B, P, C) without the component that `redundancy` names."""
        source = self.redundancy_source(texts)
        if source == "none":
            return similarity
        if source == "empty text":
            return similarity - self.scores(features, texts.empty[None])
        reference = None
        if source == "vocabulary":
            if texts.reference is None:
                raise InputError(
                    "Expected reference words for redundancy='vocabulary', but got none."
                )
            reference = (
                self.scores(features, texts.reference),
                cosine(features.image, texts.reference),
            )
        return feature_surgery(
            similarity,
            image,
            temperature=self.temperature,
            weighting=self.weighting,
            reference=reference,
        )
