"""The image tower of a web page: features for maps, CLIP's own patch features, and attention.

A page shows more than a bundle: the map of an unchanged CLIP beside that of the method, and what a
patch attends to. Both need the tokens that enter the last block of the original path. They are
recorded while the method runs, so that the blocks before are computed once. Methods that smooth
these tokens first (SC-CLIP, SFP) need a walk of their own for CLIP's features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import finish_block, join_heads
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.explainer import Explainer
from clip_surgery.export.fidelity import largest_difference, native_patches
from clip_surgery.export.half_weights import store_exact_halves
from clip_surgery.export.onnx_file import MAX_EMBEDDED_BYTES, open_outputs, write_onnx
from clip_surgery.export.quantised import Weights, calibration_pixels, quantise
from clip_surgery.export.traced_tower import ImageTower, trace_tower
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import ImageSource
from clip_surgery.methods.method import Method
from clip_surgery.surgery.attention import attend
from clip_surgery.surgery.heads import project_heads
from clip_surgery.surgery.trace import first_of
from clip_surgery.surgery.walk import walk

SAME = 1e-3
"""Largest difference of unit-length features up to which two walks are the same."""
WEB_OUTPUTS = ("patches", "image", "plain", "query", "key", "value")


class WebTower(ImageTower):
    """A module that maps pixels to all features that the page shows.

    Args:
        backbone: the model.
        method: a dense method, which computes a feature for every patch.

    Attributes:
        own_walk: whether CLIP's own features need a walk apart from that of the method.

    Raises:
        InputError: if the method is not a dense one.
        UnsupportedModelError: if the tower has no blocks.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> from clip_surgery.methods.clip_surgery import ClipSurgery
        >>> tower = WebTower(load_backbone("demo"), ClipSurgery())
        >>> outputs = dict(zip(WEB_OUTPUTS, tower(torch.rand(1, 3, 96, 128)), strict=True))
        >>> outputs["plain"].shape, outputs["query"].shape
        (torch.Size([1, 192, 128]), torch.Size([1, 2, 193, 64]))
    """

    def __init__(self, backbone: Backbone, method: Method) -> None:
        first_of(backbone.tower, 1)
        self.own_walk = False
        super().__init__(backbone, method)
        example = torch.rand(self.example().shape, generator=torch.Generator().manual_seed(0))
        example = example.to(backbone.device)
        with torch.no_grad():
            difference = (self(example)[2] - self.expected_plain(example)).abs().max()
        self.own_walk = bool(difference > SAME)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Return features of unit length, and the heads of the last block, in float32.

        Args:
            pixels: (B, 3, H, W) float32 in [0, 1], sides of whole patches.

        Returns:
            Patch features (B, P, D) of the method, image features (B, D), the model's own patch
            features (B, P, D), and query, key and value of the last block, (B, h, N, d) each.
        """
        normalised = ((pixels - self.mean) / self.std).to(self.dtype)
        recorded: list[Tensor] = []
        recording = _recording_last_input(self.backbone.tower, recorded)
        if self.own_walk:
            walk(recording, normalised)
        features = self.method.features(recording, normalised)
        tower = self.backbone.tower.at(features.grid)
        tokens, block = recorded[0], tower.blocks[-1]
        heads = project_heads(tower, block, tokens, features.grid)
        attended = attend(heads.query, heads.key, heads.value, scale=heads.scale)
        tokens = finish_block(block, tokens, join_heads(attended))
        plain = tower.project(tokens[:, tower.prefix_tokens :])
        return (
            normalize(features.patches.float(), dim=-1),
            normalize(features.image.float(), dim=-1),
            normalize(plain.float(), dim=-1),
            heads.query.float(),
            heads.key.float(),
            heads.value.float(),
        )

    def expected_plain(self, pixels: Tensor) -> Tensor:
        """Return the model's own patch features (B, P, D) of unit length, from its own walk."""
        normalised = ((pixels - self.mean) / self.std).to(self.dtype)
        with torch.no_grad():
            return normalize(walk(self.backbone.tower, normalised).patches.float(), dim=-1)


def write_tower(
    explainer: Explainer, path: Path, weights: Weights, calibration: Sequence[ImageSource]
) -> float:
    """Write the image tower of a page, and return its largest difference from the model.

    Raises:
        UnsupportedModelError: if the weights are too large for a browser, or the outputs differ.
    """
    tower = WebTower(explainer.backbone, explainer.method)
    size = sum(weight.numel() * weight.element_size() for weight in tower.parts.parameters())
    if size > MAX_EMBEDDED_BYTES:
        raise UnsupportedModelError(
            f"{explainer.backbone.name}: {size / 1e9:.1f} GB of weights are too much for a "
            f"browser, which has room for {MAX_EMBEDDED_BYTES / 1e9:.1f} GB."
        )
    write_onnx(trace_tower(tower), path, outputs=WEB_OUTPUTS)
    if weights == "int8":
        quantise(path, images=calibration_pixels(explainer, calibration))
    store_exact_halves(path)
    native = native_patches(tower)
    shapes = ((1, native, native + 2), (1, 2, 4))
    return largest_difference(tower, open_outputs(path, WEB_OUTPUTS), shapes, weights)


def _recording_last_input(tower: Tower, recorded: list[Tensor]) -> Tower:
    """Return the tower with a last block that appends the tokens it reads to a list.

    The first entry is the input of the block on the original path, unless the method changes the
    tokens before it norms them.
    """

    def recording(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        last = blocks[-1]

        def norm_attention(tokens: Tensor) -> Tensor:
            recorded.append(tokens)
            return last.norm_attention(tokens)

        return (*blocks[:-1], replace(last, norm_attention=norm_attention))

    blocks_at = tower.blocks_at
    if blocks_at is None:
        return replace(tower, blocks=recording(tower.blocks))

    def recording_at(grid: PatchGrid) -> tuple[Block, ...]:
        return recording(blocks_at(grid))

    return replace(tower, blocks_at=recording_at)
