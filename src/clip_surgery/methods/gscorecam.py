"""gScoreCAM: channels chosen by gradient, weighted by what CLIP says of the image behind each.

Source: Chen et al., "gScoreCAM: What objects is CLIP looking at?" (ACCV 2022), after Score-CAM
(arXiv 1910.01279). A mask does not depend on the text: each channel that any text chose is scored
once, for all texts together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.grad_cam import channel_maps, channel_weights
from clip_surgery.methods.gradient import GradientMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.min_max import min_max
from clip_surgery.surgery.trace import trace_image
from clip_surgery.surgery.walk import walk


@dataclass(frozen=True, kw_only=True)
class GScoreCam(GradientMethod):
    """Sum of min-maxed channel maps, weighted by softmax of CLIP's logit of the masked image.

    A mask multiplies the normalised pixels: what it hides becomes the mean colour.

    Attributes:
        channels: how many channels of the highest mean gradient a text keeps; more than there
            are means all.
        masks_at_a_time: masked images that run through the tower together.
    """

    name = "gscorecam"
    paper = "gScoreCAM (ACCV 2022)"

    channels: int = 300
    masks_at_a_time: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting in ("channels", "masks_at_a_time"):
            if getattr(self, setting) < 1:
                raise InputError(
                    f"Expected {setting} of at least 1, but got {getattr(self, setting)}."
                )

    def explain(self, backbone: Backbone, pixels: Tensor, labels: Tensor) -> Evidence:
        """Choose channels by gradient, then score one image's masks after another's."""
        traced = trace_image(backbone.tower, pixels)
        scores = cosine(traced.image, labels)  # (B, C)
        weights = channel_weights(traced, scores, texts_at_a_time=self.texts_at_a_time)
        count = min(self.channels, weights.shape[-1])
        chosen = torch.zeros_like(weights, dtype=torch.bool)  # (B, C, E)
        chosen.scatter_(2, weights.topk(count, dim=-1).indices, value=True)
        maps = min_max(channel_maps(traced).transpose(1, 2), dims=(-1,))  # (B, E, P)
        with torch.no_grad():
            patches = [
                self._one_picture(backbone, picture, labels, traced.grid, of_texts, of_picture)
                for picture, of_texts, of_picture in zip(pixels, chosen, maps, strict=True)
            ]
        return Evidence(
            patches=torch.stack(patches), similarity=None, image=scores, grid=traced.grid
        )

    def _one_picture(
        self,
        backbone: Backbone,
        picture: Tensor,
        labels: Tensor,
        grid: PatchGrid,
        chosen: Tensor,
        maps: Tensor,
    ) -> Tensor:
        """Image (3, H, W), chosen (C, E), maps (E, P): (C, P)."""
        used = chosen.any(dim=0)  # (E,)
        chosen, maps = chosen[:, used], maps[used]
        logits = []
        for part in torch.split(maps, self.masks_at_a_time):
            masks = interpolate(
                grid.to_map(part)[:, None], size=picture.shape[-2:], mode="bilinear"
            )
            masked = picture * masks.to(picture.dtype)  # (m, 3, H, W)
            logits.append(backbone.logit_scale * cosine(walk(backbone.tower, masked).image, labels))
        shares = torch.cat(logits).T.masked_fill(~chosen, -torch.inf).softmax(dim=-1)
        return shares @ maps
