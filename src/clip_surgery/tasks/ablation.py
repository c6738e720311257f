"""A view of a model without some of its attention heads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.surgery.head_ablation import mean_outputs, without_heads


def ablate_heads(
    explainer: Explainer,
    heads: Iterable[tuple[int, int]],
    images: Iterable[ImageSource | InputImage] | None = None,
) -> Explainer:
    """Return an explainer of the same model in which some heads give their mean output.

    Everything works with the view as with the model: maps, tags, evaluations. The model itself is
    not changed, and shares its weights with the view. Unlike `DecomposedFeature.with_means`, later
    blocks see the change.

    Args:
        explainer: the model.
        heads: the heads, as (block, head); negative blocks count from the last one.
        images: images over which the mean output of the heads is taken, read one at a time. If
            None, the heads give zeros.

    Raises:
        InputError: if there is no such head, or `images` is empty.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explainer, image = load("demo"), Image.radial_gradient("L")
        >>> view = ablate_heads(explainer, [(-1, 0)], [image])
        >>> view.backbone.name
        'demo without heads (7, 0)'
        >>> explainer(image, ["clock"]).image_scores.equal(view(image, ["clock"]).image_scores)
        False
    """
    tower = explainer.backbone.tower
    chosen = list(heads)
    without_heads(tower, chosen)  # checks the heads before images are read
    count = max(1, len(tower.blocks))
    names = sorted({(block % count, head) for block, head in chosen})
    if not names:
        return explainer

    def batches() -> Iterator[Tensor]:
        for image in images or ():
            yield explainer.pixels(read_image(image))

    with torch.no_grad():
        means = None if images is None else mean_outputs(tower, batches())
    label = ", ".join(str(name) for name in names[:8]) + (", ..." if len(names) > 8 else "")
    view = replace(
        explainer.backbone,
        tower=without_heads(tower, chosen, means),
        name=f"{explainer.backbone.name} without heads {label}",
    )
    return replace(explainer, backbone=view)
