"""Measurements of the two findings of CLIP Surgery in any image.

Source: arXiv 2304.05653. (a) Query-key attention links a patch with unrelated regions, value-value
attention with regions of the same kind: `attention` maps what one patch attends to. (b) Features
that all texts share are high at the same patches for every text: `redundancy` maps the empty text
and measures how much of the map of every text it explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing
from clip_surgery.inputs.image_lists import as_image_list
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import Heads
from clip_surgery.surgery.trace import block_heads
from clip_surgery.tasks.image_points import checked_point, patch_at

AttentionKind = Literal["q-k", "v-v", "q-q", "k-k"]
EMPTY = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionMap:
    """What one patch attends to.

    Attributes:
        kind: which two of query, key and value were compared.
        point: the point (x, y) in pixels of the image that chose the patch.
        patch: row and column of the patch.
        weights: (rows, columns), the share of its attention that each patch receives, mean over
            heads. The sum is 1 minus the share of prefix tokens.
        framing: the mapping between the patch grid and the image.
    """

    kind: AttentionKind
    point: tuple[float, float]
    patch: tuple[int, int]
    weights: Tensor
    framing: Framing

    def heatmap(self) -> Tensor:
        """Return the weights at the size of the image (H, W), divided by their maximum."""
        maps = self.framing.restore_map(self.weights)
        return maps / maps.max().clamp(min=1e-12)


def attention(
    explainer: Explainer,
    image: ImageSource,
    point: tuple[float, float],
    *,
    kinds: Sequence[AttentionKind] = ("q-k", "v-v"),
    block: int = -1,
) -> list[AttentionMap]:
    """Return what the patch at a point attends to, one map per kind of attention.

    Args:
        explainer: the model with its framing; its method is not used.
        image: the image.
        point: (x, y) in pixels of the image.
        kinds: "q-k" is the model's own attention, "v-v" that of CLIP Surgery.
        block: index of the block; a negative index counts from the end.

    Raises:
        InputError: if the image cannot be used, the point is outside of it, there is no such
            block, or no kind is given.
        UnknownNameError: if a kind is unknown.
        UnsupportedModelError: if the tower has no blocks.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> query_key, value_value = attention(
        ...     load("demo"), Image.radial_gradient("L"), (128, 128))
        >>> query_key.patch, query_key.weights.shape
        ((6, 6), torch.Size([12, 12]))
    """
    picture = read_image(image)
    x, y = checked_point(picture, point)
    framing = explainer.frame(picture)
    tower, pixels = explainer.backbone.tower, explainer.pixels(picture)
    with torch.no_grad():
        maps = patch_attention(tower, pixels, kinds=kinds, block=block)
    grid = tower.grid(pixels)
    row, column = patch_at((x, y), framing, grid)
    return [
        AttentionMap(
            kind=kind,
            point=(x, y),
            patch=(row, column),
            weights=grid.to_map(weights[0, row * grid.columns + column]).float().cpu(),
            framing=framing,
        )
        for kind, weights in maps.items()
    ]


def patch_attention(
    tower: Tower,
    pixels: Tensor,
    *,
    kinds: Sequence[AttentionKind] = ("q-k", "v-v"),
    block: int = -1,
) -> dict[AttentionKind, Tensor]:
    """Return the attention among the patches, (B, P, P) per kind, as a mean over heads.

    Args:
        tower: an image tower with blocks.
        pixels: (B, 3, H, W), as the tower expects them.
        kinds: which two of query, key and value are compared.
        block: index of the block; a negative index counts from the end.

    Returns:
        Weights by kind; the patch of a row attends to the patch of a column.

    Raises:
        InputError: if there is no such block, or no kind is given.
        UnknownNameError: if a kind is unknown.
        UnsupportedModelError: if the tower has no blocks.
    """
    if not kinds:
        raise InputError("Expected at least one kind of attention, but got none.")
    for kind in kinds:
        if kind not in get_args(AttentionKind):
            raise UnknownNameError.among("kind of attention", kind, get_args(AttentionKind))
    count = len(tower.blocks)
    if count and not -count <= block < count:
        raise InputError(f"Expected a block from {-count} to {count - 1}, but got {block}.")
    heads = block_heads(tower, pixels, block=block % max(1, count))
    return {kind: _attention(heads, kind) for kind in kinds}


def _attention(heads: Heads, kind: AttentionKind) -> Tensor:
    """Mean over heads of softmax(scale a b^T), patch rows and columns only: (B, P, P)."""
    parts: Mapping[str, Tensor] = {"q": heads.query, "k": heads.key, "v": heads.value}
    rows, columns = (parts[letter] for letter in kind.split("-"))
    patches = rows[:, :, heads.prefix_tokens :]
    weights = (patches @ columns.transpose(-2, -1) * heads.scale).softmax(dim=-1)
    return weights.mean(dim=1)[..., heads.prefix_tokens :]


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedSimilarity:
    """The similarity that all texts share in one image.

    Attributes:
        explanation: the dense similarity of the texts, followed by that of the empty text.
        shares: (C,) the share of each text's map that the map of the empty text explains, in
            [0, 1]: the squared correlation of the two over the patches; 0 if a map is flat.
    """

    explanation: Explanation
    shares: Tensor


def redundancy(
    explainer: Explainer,
    images: Sequence[ImageSource | InputImage] | ImageSource | InputImage,
    texts: Sequence[str],
) -> list[SharedSimilarity]:
    """Return how much of the texts' maps the empty text explains, for each image.

    Args:
        explainer: the model and its method. Maps are those of the method before feature surgery,
            or those of CLIP Surgery if the method has no dense similarity.
        images: one image or several.
        texts: the C texts.

    Returns:
        One `SharedSimilarity` per image.

    Raises:
        InputError: if an image or text cannot be used.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> [shared] = redundancy(load("demo"), [Image.radial_gradient("L")], ["clock", "cow"])
        >>> shared.explanation.texts, shared.shares.shape
        (('clock', 'cow', ''), torch.Size([2]))
    """
    method = explainer.method if isinstance(explainer.method, DenseMethod) else ClipSurgery()
    plain = explainer.with_method(replace(method, redundancy="none"))
    features = explainer.encode(texts)
    widened = replace(
        features,
        texts=(*features.texts, EMPTY),
        labels=torch.cat([features.labels, features.empty[None]]),
        reference=None,
    )
    pictures = [read_image(image) for image in as_image_list(images)]
    result = []
    for part in plain.explain_images(pictures, widened):
        maps = part.patch_scores[0].flatten(1)
        shares = explained_share(maps[:-1], maps[-1])
        result.append(SharedSimilarity(explanation=part, shares=shares))
    return result


def explained_share(maps: Tensor, shared: Tensor) -> Tensor:
    """Return the squared correlation (C,) of maps (C, P) with one map (P,); 0 if either is flat.

    It is the share of a map's variance over the patches that the best multiple of the other map
    explains.

    Example:
        >>> explained_share(torch.tensor([[1.0, 2.0, 3.0], [1.0, -2.0, 1.0]]), torch.arange(3.0))
        tensor([1., 0.])
    """
    centred = maps.double() - maps.double().mean(dim=-1, keepdim=True)
    other = shared.double() - shared.double().mean()
    spans = centred.square().sum(dim=-1) * other.square().sum()
    scale = (maps.double().square().sum(dim=-1) * shared.double().square().sum()).clamp(min=1e-300)
    flat = spans <= 1e-12 * scale
    share = (centred @ other).square() / spans.masked_fill(flat, 1.0)
    return share.masked_fill(flat, 0.0).clamp(0, 1).float()
