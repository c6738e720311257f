"""Inspection: the two findings of CLIP Surgery, made visible in any image.

Source: arXiv 2304.05653. (a) Raw q-k attention links a patch with regions that have nothing to do
with it, v-v attention with its own kind: `attention` maps what one patch attends to.
(b) Features shared by all texts light the same spots for every text: `redundancy` maps the empty
text and says how much of every text's map that explains.
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

AttentionKind = Literal["q-k", "v-v", "q-q", "k-k"]
EMPTY = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class AttentionMap:
    """What one patch attends to.

    Attributes:
        kind: which two of query, key and value were compared.
        point: the (x, y) in pixels of the image that chose the patch.
        patch: its row and column.
        weights: (rows, columns), the share of its attention that each patch gets, mean over
            heads; the sum is below 1 by what prefix tokens get.
        framing: the way to the image.
    """

    kind: AttentionKind
    point: tuple[float, float]
    patch: tuple[int, int]
    weights: Tensor
    framing: Framing

    def heatmap(self) -> Tensor:
        """The weights at the image's size, highest 1: (H, W) in [0, 1]."""
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
    """What the patch at a point attends to, one map per kind of attention.

    Args:
        explainer: the model with its framing; its method is not used.
        image: the image.
        point: (x, y) in pixels of the image.
        kinds: "q-k" is the model's own attention, "v-v" that of CLIP Surgery.
        block: which block, counted from the front or, below 0, from the end.

    Raises:
        InputError: when the image cannot be used, the point lies outside it, there is no such
            block, or no kind is given.
        UnknownNameError: for another kind.
        UnsupportedModelError: when the tower has no blocks.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> own, consistent = attention(load("demo"), Image.radial_gradient("L"), (128, 128))
        >>> own.patch, own.weights.shape
        ((6, 6), torch.Size([12, 12]))
    """
    picture = read_image(image)
    x, y = point
    if not (0 <= x < picture.size.width and 0 <= y < picture.size.height):
        raise InputError(
            f"{picture.name}: expected a point within {picture.size.width} x "
            f"{picture.size.height} px (x, y), but got {tuple(point)}."
        )
    framing = explainer.frame(picture)
    with torch.no_grad():
        maps = patch_attention(
            explainer.backbone.tower, explainer.pixels(picture), kinds=kinds, block=block
        )
    patch = explainer.backbone.tower.patch_size
    rows, columns = framing.frame.height // patch, framing.frame.width // patch
    frame_x, frame_y = framing.frame_points(torch.tensor([[float(x), float(y)]]))[0].tolist()
    row, column = min(rows - 1, int(frame_y // patch)), min(columns - 1, int(frame_x // patch))
    return [
        AttentionMap(
            kind=kind,
            point=(float(x), float(y)),
            patch=(row, column),
            weights=weights[0, row * columns + column].view(rows, columns).float().cpu(),
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
    """Attention among the patches, (B, P, P) per kind: rows attend to columns, mean over heads.

    Raises:
        InputError: when there is no such block, or no kind is given.
        UnknownNameError: for another kind.
        UnsupportedModelError: when the tower has no blocks.
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
    asking = rows[:, :, heads.prefix_tokens :]
    weights = (asking @ columns.transpose(-2, -1) * heads.scale).softmax(dim=-1)
    return weights.mean(dim=1)[..., heads.prefix_tokens :]


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedSimilarity:
    """What all texts share in one image.

    Attributes:
        explanation: the dense similarity of the texts and, as the last text, of the empty one.
        shares: (C,) how much of each text's map the empty text's map explains, in [0, 1]: the
            squared correlation of the two over the patches; 0 where a map is flat.
    """

    explanation: Explanation
    shares: Tensor


def redundancy(
    explainer: Explainer,
    images: Sequence[ImageSource | InputImage] | ImageSource | InputImage,
    texts: Sequence[str],
) -> list[SharedSimilarity]:
    """How much of the texts' maps the empty text explains, one answer per image.

    Maps are those of the explainer's method before feature surgery, or of CLIP Surgery's two
    paths where the method has no dense similarity.

    Raises:
        InputError: when an image or text cannot be used.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> [found] = redundancy(load("demo"), [Image.radial_gradient("L")], ["clock", "cow"])
        >>> found.explanation.texts, found.shares.shape
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
    found = []
    for part in plain.explain_images(pictures, widened):
        maps = part.patch_scores[0].flatten(1)
        found.append(
            SharedSimilarity(explanation=part, shares=explained_share(maps[:-1], maps[-1]))
        )
    return found


def explained_share(maps: Tensor, shared: Tensor) -> Tensor:
    """Squared correlation of maps (C, P) with one map (P,): (C,), 0 where either is flat.

    It is the share of a map's variance over the patches that the best multiple of the other
    accounts for.

    Example:
        >>> explained_share(torch.tensor([[1.0, 2.0, 3.0], [1.0, -2.0, 1.0]]), torch.arange(3.0))
        tensor([1., 0.])
    """
    own = maps.double() - maps.double().mean(dim=-1, keepdim=True)
    other = shared.double() - shared.double().mean()
    spans = own.square().sum(dim=-1) * other.square().sum()
    scale = (maps.double().square().sum(dim=-1) * shared.double().square().sum()).clamp(min=1e-300)
    flat = spans <= 1e-12 * scale
    share = (own @ other).square() / spans.masked_fill(flat, 1.0)
    return share.masked_fill(flat, 0.0).clamp(0, 1).float()
