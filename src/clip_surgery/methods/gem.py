"""GEM: self-self attention of clustered queries, keys and values, on a second path.

Source: Bousselham, Petersen, Ferrari, Kuehne, "Grounding Everything: Emerging Localization
Properties in Vision-Language Transformers" (CVPR 2024, arXiv 2312.00878). The paper runs images
at 448 px and texts through one template, "a photo of a {}"; the caller chooses both here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.depth import Depth, applied_depth, checked_depth
from clip_surgery.surgery.attention import grounding
from clip_surgery.surgery.walk import Features, walk_two_paths

MIN_TEMPERATURE = 3.0
"""Lowest temperature at which `Gem.remark` accepts the settings.

At temperature t, a patch gives its own cluster exp(t) times the attention that it gives to a patch
of an orthogonal direction, which is a factor of 20 at 3. In the demo model, whose published
temperature is 1.4, the mean best IoU is 7 at 1.4, 32 at 2.7, 57 at 5.5 and 60 at 11
(docs/findings.md). A ViT-B/16 whose norms have unit gain has a temperature of 3.5.
"""
_RECOMMENDED_TEMPERATURE = 11.0  # has the highest mean best IoU in the demo model


@dataclass(frozen=True, kw_only=True)
class Gem(DenseMethod):
    """In the last `depth` blocks patches receive the mean of three self-self attentions.

    Attributes:
        depth: number of last blocks with the second path; all blocks if it exceeds their number.
            "auto" is 6, and all blocks in towers of fewer than 12.
        iterations: number of times that queries, keys and values are moved towards their clusters
            before they attend.
        sharpness: factor on the published temperature, which is proportional to the norms of the
            tokens. In narrow towers these are small, all points move to nearly the same point, and
            a larger factor is needed (see `remark`).

    Raises:
        InputError: if depth is below 1 or no number, iterations is below 0, or sharpness is not
            positive.
    """

    name = "gem"
    paper = "GEM (CVPR 2024, arXiv 2312.00878)"

    depth: Depth = "auto"
    iterations: int = 1
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "depth", checked_depth(self.depth, least=1))
        if self.iterations < 0:
            raise InputError(f"Expected iterations to be 0 or more, but got {self.iterations}.")
        if not 0 < self.sharpness < math.inf:
            raise InputError(f"Expected sharpness to be above 0, but got {self.sharpness}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features of a second path with residual connections and without feed-forward."""
        return walk_two_paths(
            tower,
            pixels,
            depth=applied_depth(self.depth, tower),
            rule=grounding(self.iterations, self.sharpness),
            repair_outliers=self.repair_outliers,
        )

    def remark(self, backbone: Backbone) -> str | None:
        """Return a remark if the temperature is too low for this model, computed from its weights.

        At a low temperature the clustering moves the queries, keys and values of all patches to
        nearly the same point, attention becomes uniform, and the maps carry little information.
        No image is needed: a norm layer gives its output a length that hardly depends on its input.

        Args:
            backbone: the model.

        Returns:
            The temperature and a sharpness that would suit the model, or None if the temperature
            is at least `MIN_TEMPERATURE` or the attention of the model has no norm layer.
        """
        published = published_temperature(backbone, applied_depth(self.depth, backbone.tower))
        if published is None or self.sharpness * published >= MIN_TEMPERATURE:
            return None
        sharpness = max(1, round(_RECOMMENDED_TEMPERATURE / published))
        return (
            f"The attention temperature of {self.name} in {backbone.name} is "
            f"{self.sharpness * published:.1f}. Below {MIN_TEMPERATURE:g} its attention is nearly "
            f"uniform and its maps carry little information; {self.name}(sharpness={sharpness}) "
            "raises the temperature."
        )


def published_temperature(backbone: Backbone, depth: int) -> float | None:
    """Return the mean temperature of the last `depth` blocks at sharpness 1.

    It is computed from the weights alone. The temperature of a block is its scale (the factor on
    q k^T) times the mean length of the tokens after its norm. Random tokens replace those of an
    image, because a norm gives its output nearly the same length for any input.

    Args:
        backbone: the model.
        depth: number of last blocks, at least 1.

    Returns:
        The temperature, or None if a block has no norm or the tower has no blocks.
    """
    tower = backbone.tower
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(1, 64, tower.width, generator=generator, dtype=torch.float32)
    tokens = tokens.to(backbone.device, backbone.dtype)
    temperatures = []
    with torch.no_grad():
        for block in tower.blocks[-depth:]:
            length, length_of_scaled = (
                float(block.norm_attention(factor * tokens).float().norm(dim=-1).mean())
                for factor in (1, 10)
            )
            if length_of_scaled > 2 * length:  # the input is not normalised
                return None
            temperatures.append(block.attention.scale * length)
    return sum(temperatures) / len(temperatures) if temperatures else None
