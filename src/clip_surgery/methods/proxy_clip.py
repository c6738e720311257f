"""ProxyCLIP: the last block attends by the affinity of a companion's patches.

Source: Lan, Chen, Ke, Wang, Feng, Zhang, "ProxyCLIP: Proxy Attention Improves CLIP for Open-
Vocabulary Segmentation" (ECCV 2024, arXiv 2408.04883), with the settings of its released code. The
published companion is DINO ViT-B/8 (timm:vit_base_patch8_224.dino). Differences from the code: the
mean of the affinity is that of one image, not of the batch; a patch is always a key of itself,
because a constant image has no other key; a companion with any patch size sees the window resized
to its whole patches, where the code pads it with zeros. Windows of 336 px, 112 px apart, sizes and
thresholds of classes are not part of the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import join_heads
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.companion_method import CompanionMethod
from clip_surgery.surgery.companion_features import companion_patches, resample_patches
from clip_surgery.surgery.heads import project_heads
from clip_surgery.surgery.last_block import LastBlock, enter_last_block, without_prefix
from clip_surgery.surgery.outliers import fill_outliers, find_outliers
from clip_surgery.surgery.proxy_attention import proxy_attention
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import Watch
from clip_surgery.text.features import TextFeatures

ProxyGrid = Literal["companion", "model"]


@dataclass(frozen=True, kw_only=True)
class ProxyClip(CompanionMethod):
    """The patch output of the last block is O(softmax(g (S - b mean S)) v), over keys above 0.

    S are the cosines of the companion's patches after its final norm, v the values of the model,
    interpolated to the grid of the companion, and O the out-projection. The residual connection and
    the feed-forward of the block are left out.

    Attributes:
        centring: factor b on the mean affinity.
        sharpness: factor g.
        grid: "companion" gives a map of the companion's patches, as the code does; "model" brings
            the companion's patches to the grid of the model.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if the grid is unknown.
    """

    name = "proxy_clip"
    paper = "ProxyCLIP (ECCV 2024, arXiv 2408.04883)"

    centring: float = 1.2
    sharpness: float = 3.0
    grid: ProxyGrid = "companion"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid not in get_args(ProxyGrid):
            raise UnknownNameError.among("grid", self.grid, get_args(ProxyGrid))
        if not 0 <= self.centring < float("inf"):
            raise InputError(f"Expected centring of 0 or more, but got {self.centring}.")
        if not 0 < self.sharpness < float("inf"):
            raise InputError(f"Expected sharpness above 0, but got {self.sharpness}.")

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return features with the proxy attention as the only output of the last block."""
        outputs, last, grid = proxy_outputs(
            backbone,
            pixels,
            centring=self.centring,
            sharpness=self.sharpness,
            on_companion_grid=self.grid == "companion",
            repair_outliers=self.repair_outliers,
        )
        return Features(image=last.image(), patches=last.tower.project(outputs), grid=grid)


def proxy_outputs(
    backbone: Backbone,
    pixels: Tensor,
    *,
    centring: float,
    sharpness: float,
    on_companion_grid: bool = True,
    repair_outliers: bool = False,
) -> tuple[Tensor, LastBlock, PatchGrid]:
    """Return the outputs of the last block with the proxy attention, before the final norm.

    Args:
        backbone: a model with a companion.
        pixels: normalised pixels (B, 3, H, W).
        centring: factor on the mean affinity.
        sharpness: factor on the difference.
        on_companion_grid: whether patches have the grid of the companion, or else of the model.
        repair_outliers: whether outlier tokens are first replaced by the mean of their neighbours.

    Returns:
        Outputs (B, P, E), the last block, and rows and columns of the outputs.
    """
    blocks = len(backbone.tower.blocks)
    watch = Watch(heads=(1 - 1 / blocks,) if repair_outliers else ())
    last = enter_last_block(backbone.tower, pixels, watch)
    proxy = companion_patches(backbone, pixels)
    grid = proxy.grid if on_companion_grid else last.grid
    values = resample_patches(patch_values(last, repair_outliers), last.grid, grid)
    received = proxy_attention(
        resample_patches(proxy.patches, proxy.grid, grid),
        values,
        centring=centring,
        sharpness=sharpness,
    )
    return last.tower.blocks[-1].attention.project_out(received), last, grid


def patch_values(last: LastBlock, repair_outliers: bool) -> Tensor:
    """Return the values of the patches in the last block, heads joined (B, P, E).

    Args:
        last: the last block; to repair outliers, with the heads of the block before it.
        repair_outliers: whether outlier tokens are first replaced by the mean of their neighbours.
    """
    tokens = last.tokens
    if repair_outliers:
        outliers = find_outliers(last.seen.heads[last.seen.blocks - 1])
        tokens = last.with_patches(fill_outliers(last.patches, outliers, last.grid))
    heads = project_heads(last.tower, last.tower.blocks[-1], tokens, last.grid)
    return join_heads(without_prefix(heads).value)
