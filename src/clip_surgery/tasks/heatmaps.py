"""Heatmaps: raw scores of patches, resized to the image and scaled for display.

Two orders are known. The reference code scales the patches to [0, 1] and then resizes; the paper
(arXiv 2304.05653) resizes and then scales. The paper's is the default here: the range is then
taken inside the image (a letterbox margin has no influence), and every map truly reaches 0
and 1 in the image, so that one threshold means the same in all of them.

Maps are resized and scaled a few at a time, so that they stay in the processor's cache between the
steps, and the range is taken from the few samples where it can be attained (see `map_resize`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.surgery.min_max import min_max, rescale_
from clip_surgery.tasks.map_resize import MapResize, tiles
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.score_batches import finite_scores
from clip_surgery.tasks.text_selection import Texts, TextSelection, select_texts

Contrast = Literal["text", "image", "none", "presence"]
Order = Literal["resize then scale", "scale then resize"]


def heatmaps(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    contrast: Contrast = "text",
    order: Order = "resize then scale",
) -> list[Tensor]:
    """Return the maps of each image at its own size.

    For a thousand texts or more use `heatmap_tiles`, whose memory does not grow with their number.

    Args:
        explanation: explanations of B images for C texts.
        texts: texts to use, each with a map of its own; all texts by default. An entry that is
            itself a list of texts, or "person,man", is a union: the highest of their scaled maps.
        union: whether all texts together give one map.
        contrast: what becomes 0 and 1. "text": the lowest and highest value of each map, so the
            map of an absent object looks as hot as that of a present one. "image": the lowest and
            highest value over all of these texts in the image, so maps can be compared. "none":
            raw scores are kept. "presence": as "text", times the presence probability of the text,
            so the map of an absent object stays faint.
        order: whether maps are resized or scaled first.

    Returns:
        One tensor (T, H, W) in float32 per image, on the device of its scores. A flat map becomes
        zeros.

    Raises:
        InputError: if a score is not finite, or contrast is "presence" and the explanation was
            made without a vocabulary.
        UnknownNameError: if the contrast, the order or a text is unknown.

    Example:
        >>> from clip_surgery.framing import Framing, Size
        >>> explanation = Explanation(
        ...     patch_scores=(torch.tensor([[[0.1, 0.3]]]),), similarity=None,
        ...     image_scores=torch.zeros(1, 1), texts=("dog",), images=("dog.jpg",),
        ...     framings=(Framing.squash(Size(1, 2), frame=Size(16, 32)),),
        ...     method="similarity", backbone="demo")
        >>> heatmaps(explanation)[0].tolist()
        [[[0.0, 1.0]]]
    """
    maker = _MapMaker.of(explanation, texts, union=union, contrast=contrast, order=order)
    return [maker.maps(image) for image in range(len(explanation))]


class HeatmapTile(NamedTuple):
    """Maps of some texts in one image.

    Attributes:
        image: index of the image.
        first: index of the first of these texts among all results T of the image.
        texts: the n texts; the texts of a union are joined by "+".
        maps: (n, H, W) float32.
    """

    image: int
    first: int
    texts: tuple[str, ...]
    maps: Tensor


def heatmap_tiles(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    contrast: Contrast = "text",
    order: Order = "resize then scale",
    tile: int = 64,
) -> Iterator[HeatmapTile]:
    """Yield the maps of each image, `tile` texts at a time, so that memory stays bounded.

    Args:
        explanation: explanations of B images for C texts.
        texts: as for `heatmaps`.
        union: as for `heatmaps`.
        contrast: as for `heatmaps`.
        order: as for `heatmaps`.
        tile: number of texts whose maps are made at a time, 1 or more.

    Returns:
        An iterator over images and, for each, over texts. All arguments are checked at the call.

    Raises:
        InputError: if `tile` is below 1, or as for `heatmaps`.
        UnknownNameError: as for `heatmaps`.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow", "pig"])
        >>> [tuple(part.maps.shape) for part in heatmap_tiles(explanation, tile=2)]
        [(2, 256, 256), (1, 256, 256)]
    """
    if tile < 1:
        raise InputError(f"Expected tile to be at least 1 text, but got {tile}.")
    maker = _MapMaker.of(explanation, texts, union=union, contrast=contrast, order=order)
    return (part for image in range(len(explanation)) for part in maker.tiles(image, tile))


class _MapMaker(NamedTuple):
    """The checked arguments of `heatmaps`."""

    explanation: Explanation
    selection: TextSelection
    contrast: Contrast
    order: Order
    probabilities: Tensor | None  # (B, M), for contrast "presence"

    @classmethod
    def of(
        cls,
        explanation: Explanation,
        texts: Texts,
        *,
        union: bool,
        contrast: Contrast,
        order: Order,
    ) -> _MapMaker:
        for kind, value, known in (("contrast", contrast, Contrast), ("order", order, Order)):
            if value not in get_args(known):
                raise UnknownNameError.among(kind, value, get_args(known))
        selection = select_texts(explanation, texts, union=union)
        probabilities = None
        if contrast == "presence":
            probabilities = selection.take(presence(explanation))
        return cls(explanation, selection, contrast, order, probabilities)

    def maps(self, image: int) -> Tensor:
        """All maps (T, H, W) of one image."""
        size = self.explanation.framings[image].original
        scores = self._scores(image)
        if self.selection.has_unions:
            parts = [part.maps for part in self.tiles(image, 64)]
            return torch.cat(parts)
        out = scores.new_empty(len(scores), *size)
        self._fill(out, scores, image, slice(0, len(scores)), self._range_of_image(scores, image))
        return out

    def tiles(self, image: int, tile: int) -> Iterator[HeatmapTile]:
        """The maps of one image, `tile` results at a time."""
        size = self.explanation.framings[image].original
        scores = self._scores(image)
        limits = self._range_of_image(scores, image)
        start = 0
        for first in range(0, len(self.selection), tile):
            groups = self.selection.groups[first : first + tile]
            names = self.selection.names[first : first + tile]
            stop = start + sum(map(len, groups))
            out = scores.new_empty(stop - start, *size)
            self._fill(out, scores[start:stop], image, slice(start, stop), limits)
            maps = TextSelection(names=names, groups=groups).unite(out, dim=0)
            yield HeatmapTile(image, first, names, maps)
            start = stop

    def _scores(self, image: int) -> Tensor:
        return finite_scores(self.explanation, image, self.selection.positions)

    def _resize(self, scores: Tensor, image: int) -> MapResize:
        grid = Size(scores.shape[1], scores.shape[2])
        return MapResize.of(self.explanation.framings[image], grid, device=scores.device)

    def _range_of_image(self, scores: Tensor, image: int) -> tuple[Tensor, Tensor] | None:
        """Lowest and highest value over all texts, if the contrast is "image"."""
        if self.contrast != "image":
            return None
        if self.order == "scale then resize":
            low, high = scores.amin((-2, -1), keepdim=True), scores.amax((-2, -1), keepdim=True)
        else:
            low, high = self._resize(scores, image).range_of(scores)
        return low.amin(0, keepdim=True), high.amax(0, keepdim=True)

    def _fill(
        self,
        out: Tensor,
        scores: Tensor,
        image: int,
        rows: slice,
        limits: tuple[Tensor, Tensor] | None,
    ) -> None:
        """Resize and scale the scores (m, rows, columns) of some texts into `out` (m, H, W)."""
        resize = self._resize(scores, image)
        if self.order == "scale then resize" and self.contrast != "none":
            scores = min_max(scores) if limits is None else rescale_(scores.clone(), *limits)
        factors = None if self.probabilities is None else self.probabilities[image, rows]
        buffer = None
        for part in tiles(len(out), resize.size, out.device):
            maps = out[part]
            buffer = torch.empty_like(maps) if buffer is None else buffer[: len(maps)]
            resize.into(maps, scores[part], buffer=buffer)
            if self.contrast != "none":
                if self.order == "scale then resize":
                    maps.clamp_(0.0, 1.0)
                else:
                    rescale_(maps, *(limits or resize.range_of_resized(maps)))
            if factors is not None:
                maps.mul_(factors[part, None, None].to(maps))
