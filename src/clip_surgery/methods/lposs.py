"""LPOSS: class scores of patches are propagated on a graph of the patches.

Source: Stojnic, Kalantidis, Matas, Tolias, "LPOSS: Label Propagation Over Patches and Pixels for
Open-vocabulary Semantic Segmentation" (CVPR 2025, arXiv 2503.19777), on MaskCLIP with residual
connection and feed-forward. Differences: the paper's graph compares values of DINO
(`source="companion"`, timm:vit_base_patch16_224.dino); by default it compares tokens of a middle
block of CLIP itself, minus their mean, which needs no second model. Any dense method may be the
base. In the paper the windows of an image, about 2,900 patches, are one graph with 400 neighbours;
a smaller graph has the same share of neighbours here. Its second stage, LPOSS+, is the refinement
"pixel graph".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import join_heads
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.base_method import MethodOnBase
from clip_surgery.methods.requirements import require
from clip_surgery.refinement.patch_graph import propagate
from clip_surgery.surgery.affinity import at_least_float32
from clip_surgery.surgery.companion_features import companion_heads, resample_patches
from clip_surgery.surgery.observed_tower import observed_tower
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import token_block
from clip_surgery.text.features import TextFeatures

Source = Literal["middle", "companion"]


@dataclass(frozen=True, kw_only=True, eq=False)
class GraphFeatures(Features):
    """Features of patches, and features (B, P, F) by which patches are connected in a graph.

    Attributes:
        graph: (B, P, F), not normalised.
        patch_size: distance of neighbouring patches in pixels.
    """

    per_patch: ClassVar[tuple[str, ...]] = ("patches", "graph")

    graph: Tensor
    patch_size: int


@dataclass(frozen=True, kw_only=True)
class Lposs(MethodOnBase):
    """Scores F of (I - spread W) F = S, for the cosines S of the base and a graph W of patches.

    A patch is connected with its nearest patches by max(0, cos)^exponent exp(-decay pixels); see
    `refinement.patch_graph`.

    Attributes:
        source: what the graph compares, "middle": tokens of a middle block; "companion": values of
            the last block of the companion.
        middle: fraction of the depth of the middle block, in [0, 1].
        centred: whether the mean token of the image is subtracted from the tokens of the middle
            block, which share a large component.
        neighbours: largest number of nearest patches of each patch.
        neighbour_share: largest number of nearest patches as a share of all patches, in (0, 1].
        exponent: power of the cosine.
        distance_decay: decay of a weight per pixel of distance.
        spread: share of the neighbours, in [0, 1). With 0 the scores are those of the base.
        steps: number of steps of conjugate gradients; 10 in the code.

    Raises:
        InputError: if a setting is outside of its range, or base is no dense method.
        UnknownNameError: if source is unknown.
    """

    name = "lposs"
    paper = "LPOSS (CVPR 2025, arXiv 2503.19777)"
    features_need_texts: ClassVar[bool] = True

    source: Source = "middle"
    middle: float = 0.75
    centred: bool = True
    neighbours: int = 400
    neighbour_share: float = 0.14
    exponent: float = 3.0
    distance_decay: float = 0.01
    spread: float = 0.95
    steps: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.source not in get_args(Source):
            raise UnknownNameError.among("source", self.source, get_args(Source))
        if not 0 < self.neighbour_share <= 1:
            raise InputError(
                f"Expected neighbour_share above 0 and up to 1, but got {self.neighbour_share}."
            )
        if not 0 <= self.middle <= 1:
            raise InputError(f"Expected middle in [0, 1], but got {self.middle}.")
        if not 0 <= self.spread < 1:
            raise InputError(f"Expected spread of 0 or more and below 1, but got {self.spread}.")
        if self.neighbours < 1 or self.steps < 1:
            raise InputError(
                f"Expected neighbours and steps of 1 or more, but got {self.neighbours} and "
                f"{self.steps}."
            )
        for setting in ("exponent", "distance_decay"):
            if not 0 <= getattr(self, setting) < float("inf"):
                raise InputError(
                    f"Expected {setting} of 0 or more, but got {getattr(self, setting)}."
                )

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return the features of the base, and the features that the graph compares.

        Raises:
            UnsupportedModelError: if source is "companion" and the model has none.
        """
        base, tower = self.base_method(), backbone.tower
        if self.source == "companion":
            require(backbone, {"companion"}, purpose="lposs with source='companion'")
            features = base.features_for(backbone, pixels, texts)
            heads = companion_heads(backbone, pixels)
            values = join_heads(heads.value).to(features.patches.device)
            return with_graph(features, resample_patches(values, heads.grid, features.grid), tower)
        seen: list[Tensor] = []
        watched = observed_tower(
            tower,
            inputs={token_block(self.middle, len(tower.blocks)) + 1},
            see_input=lambda _, tokens: seen.append(tokens),
        )
        features = base.features_for(replace(backbone, tower=watched), pixels, texts)
        tokens = at_least_float32(seen[0][:, tower.prefix_tokens :])
        if self.centred:
            tokens = tokens - tokens.mean(dim=1, keepdim=True)
        grid = tower.grid(pixels)
        return with_graph(features, resample_patches(tokens, grid, features.grid), tower)

    def scores(self, features: Features, texts: Tensor) -> Tensor:
        """Return the propagated cosines (B, P, C) of patches and texts (C, D)."""
        cosines = super().scores(features, texts)
        if not isinstance(features, GraphFeatures):
            return cosines
        return propagate(
            cosines.mT,
            features.graph,
            features.grid,
            patch_size=features.patch_size,
            neighbours=min(
                self.neighbours, math.ceil(self.neighbour_share * features.grid.patches)
            ),
            exponent=self.exponent,
            distance_decay=self.distance_decay,
            spread=self.spread,
            steps=self.steps,
        ).mT


def with_graph(features: Features, graph: Tensor, tower: Tower) -> GraphFeatures:
    """Return features with what their patches are connected by, (B, P, F)."""
    return GraphFeatures(
        image=features.image,
        patches=features.patches,
        grid=features.grid,
        graph=graph,
        patch_size=tower.patch_size,
    )
