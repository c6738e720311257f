"""Refinement of the maps of an explanation along the edges of its images.

Maps are resized to a finer grid and refined there (see `clip_surgery.refinement`). The result is
again an explanation, which `segment` and all other tasks can use.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clip_surgery.deferred_tensor import replaced
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.image_lists import as_image_list
from clip_surgery.inputs.images import ImageSource, InputImage, read_image, to_pixels
from clip_surgery.refinement.finer_maps import refine_maps
from clip_surgery.refinement.registry import Refinement, as_refinement, grid_of_cells
from clip_surgery.text.features import TextFeatures


def refine(
    explanation: Explanation,
    images: Sequence[ImageSource | InputImage] | ImageSource,
    refinement: str | Refinement = "laplacian",
    *,
    text_features: TextFeatures | None = None,
) -> Explanation:
    """Return the explanation with its similarity refined along the edges of its images.

    Args:
        explanation: explanations of B images by a method with a dense similarity.
        images: the same B images.
        refinement: "laplacian" (PEARL), "guided" (guided filter), "pamr" (means over neighbours of
            similar colour), "pixel graph" (LPOSS+), or an object with settings. "none" returns the
            explanation.
        text_features: features of the explanation's texts, by which "laplacian" compares texts with
            each other. If None, it compares each text with itself only.

    Returns:
        The explanation with a similarity of another size, on a grid of the refinement's cells. The
        scores of patches stay as they are.

    Raises:
        InputError: if the method has no dense similarity, a score is not finite, the number or a
            size of the images differs, or an image cannot be read.
        UnknownNameError: if the refinement is unknown.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> image = Image.radial_gradient("L")
        >>> explanation = load("demo")(image, ["clock", "cow"])
        >>> refine(explanation, image, "guided").similarity[0].shape
        torch.Size([2, 112, 112])
    """
    rule = as_refinement(refinement)
    if rule is None:
        return explanation
    if explanation.similarity is None:
        raise InputError(
            f"Expected a method with a dense similarity, but {explanation.method} has none."
        )
    sources = as_image_list(images)
    if len(sources) != len(explanation):
        raise InputError(
            f"Expected the {len(explanation)} images of the explanation, but got {len(sources)}."
        )
    texts = None
    if text_features is not None:
        if text_features.texts != explanation.texts:
            raise InputError("Expected features of the explanation's texts, but got others.")
        texts = text_features.labels
    refined = [
        refine_image(
            explanation.similarity[index],
            explanation.framings[index],
            read_image(source, name=explanation.images[index]),
            rule,
            texts=texts,
        )
        for index, source in enumerate(sources)
    ]
    return replaced(explanation, similarity=tuple(refined))


def refine_image(
    maps: Tensor,
    framing: Framing,
    image: InputImage,
    refinement: Refinement,
    *,
    texts: Tensor | None = None,
) -> Tensor:
    """Return the maps of one image (C, rows, columns) refined on a finer grid (C, h, w).

    Args:
        maps: scores on the grid of patches.
        framing: how the image was resized.
        image: the image.
        refinement: the refinement; it decides the size of the finer grid.
        texts: features of the texts (C, D), if they are known.

    Raises:
        InputError: if a score is not finite, or the image is not of the size of the framing.
    """
    if not maps.isfinite().all():
        raise InputError(f"{image.name}: expected finite similarities.")
    if image.size != framing.original:
        raise InputError(
            f"{image.name}: expected an image of {tuple(framing.original)} (height, width), as it "
            f"was explained, but got {tuple(image.size)}."
        )
    grid = grid_of_cells(framing.frame.height, framing.frame.width, refinement.cells)
    colours = to_pixels(framing_of_cells(framing, grid).apply(image.image, margin=_GREY))
    with torch.no_grad():
        return refine_maps(maps[None], colours[None], refinement, texts=texts)[0]


def framing_of_cells(framing: Framing, grid: PatchGrid) -> Framing:
    """Return a framing of the same image in which each cell of a grid is one pixel."""
    height = max(1, round(framing.content.height * grid.rows / framing.frame.height))
    width = max(1, round(framing.content.width * grid.columns / framing.frame.width))
    return Framing(
        original=framing.original,
        content=Size(height, width),
        frame=Size(grid.rows, grid.columns),
    )


_GREY = (127, 127, 127)
"""Colour of the margins of a letterboxed image."""
