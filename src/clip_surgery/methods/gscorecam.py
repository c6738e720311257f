"""gScoreCAM: channels selected by gradient, weighted by CLIP's score of the masked image.

Source: Chen et al., "gScoreCAM: What objects is CLIP looking at?" (ACCV 2022), after Score-CAM
(arXiv 1910.01279). The masks do not depend on the text. Each channel that is selected for any text
is therefore scored once, for all texts together.
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
    """The sum of channel maps, each weighted by the softmax of CLIP's logits of the masked images.

    A channel map is scaled to [0, 1] and multiplies the normalised pixels as a mask, so that masked
    pixels have the mean colour.

    Attributes:
        channels: number of channels with the highest mean gradient that are used for a text; all
            channels if it exceeds their number.
        masks_at_a_time: number of masked images that pass through the tower together.

    Raises:
        InputError: if a number is below 1.
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

    def explain(self, backbone: Backbone, pixels: Tensor, text_features: Tensor) -> Evidence:
        """Return the evidence: select channels by gradient, then score the masks image by image."""
        traced = trace_image(backbone.tower, pixels)
        scores = cosine(traced.image, text_features)  # (B, C)
        weights = channel_weights(traced, scores, texts_at_a_time=self.texts_at_a_time)
        count = min(self.channels, weights.shape[-1])
        selected = torch.zeros_like(weights, dtype=torch.bool)  # (B, C, E)
        selected.scatter_(2, weights.topk(count, dim=-1).indices, value=True)
        maps = min_max(channel_maps(traced).transpose(1, 2), dims=(-1,))  # (B, E, P)
        with torch.no_grad():
            patches = [
                self._explain_image(
                    backbone,
                    image,
                    text_features,
                    traced.grid,
                    selected=image_selected,
                    maps=image_maps,
                )
                for image, image_selected, image_maps in zip(pixels, selected, maps, strict=True)
            ]
        return Evidence(
            patches=torch.stack(patches), similarity=None, image=scores, grid=traced.grid
        )

    def _explain_image(
        self,
        backbone: Backbone,
        image: Tensor,
        text_features: Tensor,
        grid: PatchGrid,
        *,
        selected: Tensor,
        maps: Tensor,
    ) -> Tensor:
        """Return the evidence (C, P) in one image.

        Args:
            backbone: the model.
            image: normalised pixels (3, H, W).
            text_features: features of C texts (C, D).
            grid: rows and columns of the patches.
            selected: whether each channel is used for each text (C, E), bool.
            maps: channel maps in [0, 1], (E, P).
        """
        used = selected.any(dim=0)  # (E,)
        selected, maps = selected[:, used], maps[used]
        logits = []
        for part in torch.split(maps, self.masks_at_a_time):
            masks = interpolate(grid.to_map(part)[:, None], size=image.shape[-2:], mode="bilinear")
            masked = image * masks.to(image.dtype)  # (m, 3, H, W)
            logits.append(
                backbone.logit_scale * cosine(walk(backbone.tower, masked).image, text_features)
            )
        weights = torch.cat(logits).T.masked_fill(~selected, -torch.inf).softmax(dim=-1)  # (C, E)
        return weights @ maps
