"""CorrCLIP: the last block attends within regions of a segmenter, by a companion's affinity.

Source: Zhang, Liu, Tang, "CorrCLIP: Reconstructing Patch Correlations in CLIP for Open-Vocabulary
Semantic Segmentation" (ICCV 2025, arXiv 2411.10086), with the settings of the first version of its
released code: DINO ViT-B/8 (timm:vit_base_patch8_224.dino) as companion, and SAM 2, large, with
8 x 8 points as segmenter. Its levels of ViT-L/14 are 0.46 and 0.92. Differences from the code:
regions are those of the window that the model sees, where the code segments the whole image; of
each point the best mask is taken, where the code asks for one mask only; the stability of masks is
not tested; patches are unsegmented only where no mask is, where the code takes the region of the
lowest number if masks cover the image; a patch is always a key of itself; means are those of one
image of a batch; the companion sees the window resized to its whole patches, where the code pads
it. The vote of each region on the pixels of the final map, windows of 336 px, sizes and thresholds
are not part of the method; `segment(segmenter=)` redraws regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import join_heads
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.proxy_clip import patch_values
from clip_surgery.methods.segmenter_method import SegmenterMethod
from clip_surgery.surgery.companion_features import companion_heads, resample_patches
from clip_surgery.surgery.last_block import LastBlock, enter_last_block
from clip_surgery.surgery.observed_tower import observed_tower
from clip_surgery.surgery.region_attention import joined_regions, region_attention
from clip_surgery.surgery.region_tokens import region_tokens
from clip_surgery.surgery.segmented_regions import image_of_pixels, segmented_regions
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import Watch, token_block
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class CorrClip(SegmenterMethod):
    """The patch feature is P(O(A v)) + a P(O(A u)) + b P(t), P the final norm and projection.

    A is softmax(g S) over the patches of the region, S the cosines of the companion's q + k; pairs
    with an unsegmented patch need a cosine above the mean. v are the values of the last block, u
    those of the mean token of middle blocks, and t the token of the region: a class token that
    attends to its patches only. The residual connection and the feed-forward of the last block are
    left out, apart from t. Maps have the grid of the companion. t is left out for towers whose
    image feature is not computed from a class token.

    Attributes:
        points_per_side: the segmenter is prompted with this many rows and columns of points.
        min_score: lowest rating of a mask by the segmenter.
        join_cosine: lowest cosine of regions that are joined, in their mean companion features;
            above 1 none are.
        sharpness: factor g.
        spatial_weight: weight a of the middle blocks; 0 leaves them out.
        first_level: fraction of the depth of the first middle block, in [0, 1].
        last_level: fraction of the depth of the last one, in [0, 1].
        semantic_weight: weight b of the tokens of regions; 0 leaves them out.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name = "corr_clip"
    paper = "CorrCLIP (ICCV 2025, arXiv 2411.10086)"
    decides_by_thresholds: ClassVar[bool] = True

    points_per_side: int = 8
    min_score: float = 0.4
    join_cosine: float = 0.8
    sharpness: float = 4.0
    spatial_weight: float = 1.0
    first_level: float = 0.5
    last_level: float = 0.83
    semantic_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.points_per_side <= 64:
            raise InputError(
                f"Expected points_per_side from 1 to 64, but got {self.points_per_side}."
            )
        if not 0 <= self.first_level <= self.last_level <= 1:
            raise InputError(
                "Expected first_level up to last_level in [0, 1], but got "
                f"{self.first_level} and {self.last_level}."
            )
        for setting in ("min_score", "join_cosine"):
            if not abs(getattr(self, setting)) < float("inf"):
                raise InputError(f"Expected a finite {setting}, but got {getattr(self, setting)}.")
        for setting in ("sharpness", "spatial_weight", "semantic_weight"):
            if not 0 <= getattr(self, setting) < float("inf"):
                raise InputError(
                    f"Expected {setting} of 0 or more, but got {getattr(self, setting)}."
                )

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return features with the attention within regions as output of the last block."""
        other = companion_heads(backbone, pixels)
        affinity = join_heads(other.query) + join_heads(other.key)  # (B, P, E)
        affinity = affinity.to(pixels.device)
        regions = self._regions(backbone, pixels, affinity, other.grid)
        inputs: list[Tensor] = []
        tower, blocks = backbone.tower, len(backbone.tower.blocks)
        repaired = (1 - 1 / blocks,) if self.repair_outliers else ()
        last = enter_last_block(
            observed_tower(
                tower, inputs=range(1, blocks), see_input=lambda _, tokens: inputs.append(tokens)
            ),
            pixels,
            Watch(heads=repaired, levels=(self.first_level, self.last_level)),
        )
        values = resample_patches(patch_values(last, self.repair_outliers), last.grid, other.grid)
        patches = last.tower.project(self._attended(last, values, affinity, regions))
        if self.spatial_weight:
            middle = patch_values(self._middle(last), repair_outliers=False)
            values = resample_patches(middle, last.grid, other.grid)
            output = self._attended(last, values, affinity, regions)
            patches = patches + self.spatial_weight * last.tower.project(output)
        if self.semantic_weight and tower.prefix_tokens and tower.pool_reads == "prefix":
            inputs.append(last.tokens)
            tokens = _tokens_of_patches(last.tower, inputs, regions, other.grid, last.grid)
            patches = patches + self.semantic_weight * last.tower.project(tokens)
        return Features(image=last.image(), patches=patches, grid=other.grid)

    def _regions(
        self, backbone: Backbone, pixels: Tensor, affinity: Tensor, grid: PatchGrid
    ) -> Tensor:
        """The joined region of each patch of the companion (B, P) int64, 0 for none."""
        segmenter = self.load_segmenter(pixels.device)
        regions = []
        for index, colours in enumerate(backbone.denormalise(pixels)):
            segmented = segmented_regions(
                segmenter,
                image_of_pixels(colours, f"image {index}"),
                points_per_side=self.points_per_side,
                min_score=self.min_score,
            )
            nearest = nearest_regions(segmented, grid).flatten().to(pixels.device)
            regions.append(joined_regions(affinity[index], nearest, min_cosine=self.join_cosine))
        return torch.stack(regions)

    def _attended(
        self, last: LastBlock, values: Tensor, affinity: Tensor, regions: Tensor
    ) -> Tensor:
        """Outputs (B, P, E) of the last block for values (B, P, E) on the grid of the regions."""
        received = [
            region_attention(patches, image_values, region, sharpness=self.sharpness)
            for patches, image_values, region in zip(affinity, values, regions, strict=True)
        ]
        return last.tower.blocks[-1].attention.project_out(torch.stack(received))

    def _middle(self, last: LastBlock) -> LastBlock:
        """The last block with the mean token of the middle blocks as its input."""
        blocks = len(last.tower.blocks)
        first, final = (token_block(f, blocks) for f in (self.first_level, self.last_level))
        levels = last.seen.levels
        return last if levels is None else replace(last, tokens=levels / (final - first + 1))


def nearest_regions(regions: Tensor, grid: PatchGrid) -> Tensor:
    """Return numbers of regions (H, W) int64 at the nearest pixels of a grid (rows, columns)."""
    height, width = regions.shape
    rows = torch.arange(grid.rows) * height // grid.rows
    columns = torch.arange(grid.columns) * width // grid.columns
    return regions[rows][:, columns]


def _tokens_of_patches(
    tower: Tower, inputs: Sequence[Tensor], regions: Tensor, grid: PatchGrid, own_grid: PatchGrid
) -> Tensor:
    """The token of its region for each patch (B, P, E); patches without a region share one.

    Args:
        tower: a tower with a class token.
        inputs: the input tokens (B, N, E) of every block.
        regions: (B, P) int64, 0 for none.
        grid: rows and columns of the regions.
        own_grid: rows and columns of the tower.
    """
    token_of_patches = []
    for index, region in enumerate(regions):
        numbers, places = torch.unique(region, return_inverse=True)
        members = nearest_regions(grid.to_map(places), own_grid).flatten()  # indices of `numbers`
        chosen = torch.arange(len(numbers), device=members.device)[:, None] == members
        tokens = region_tokens(tower, [source[index] for source in inputs], chosen)
        token_of_patches.append(tokens[places])
    return torch.stack(token_of_patches)
