"""What attention heads write, in words: texts along which their contributions vary over images.

Source: TextSpan of Gandelsman, Efros, Steinhardt (ICLR 2024, arXiv 2310.05916); see
`surgery.text_span`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import ImageSource, InputImage
from clip_surgery.surgery.text_span import text_span
from clip_surgery.tasks.decompose import decompose


@dataclass(frozen=True, kw_only=True)
class HeadDescription:
    """Texts that describe one head.

    Attributes:
        block: index of the block.
        head: index of the head in its block.
        texts: the texts, in the order in which they were chosen.
        shares: for each text, the share of the variance of the head's contributions that it
            explains, in [0, 1].
        variance: the variance of the contributions over the images, the sum over the D dimensions.
    """

    block: int
    head: int
    texts: tuple[str, ...]
    shares: tuple[float, ...]
    variance: float

    @property
    def explained(self) -> float:
        """The share of the variance that all texts explain, in [0, 1]."""
        return sum(self.shares)


def describe_heads(
    explainer: Explainer,
    images: Iterable[ImageSource | InputImage],
    texts: Sequence[str],
    *,
    blocks: int = 4,
    count: int = 5,
) -> list[HeadDescription]:
    """Return texts that describe the heads of the last blocks, from what they add over images.

    Args:
        explainer: the model; its templates are used for the texts, its method is not.
        images: the images of a data set, at least two; they are read one at a time. More images
            than texts are better: a few images vary along few directions.
        texts: the texts to choose from, for example a vocabulary.
        blocks: number of last blocks.
        count: maximum number of texts per head.

    Returns:
        One description per head, block by block. A head that adds the same to all images has no
        text.

    Raises:
        InputError: if there are fewer than two images, or an image, text or number cannot be used.
        UnsupportedModelError: if the image feature is no sum over heads (see `decompose`).

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> images = [Image.radial_gradient("L"), Image.linear_gradient("L")]
        >>> heads = describe_heads(load("demo"), images, ["clock", "cow", "ball"], blocks=1)
        >>> [(head.block, head.head, len(head.texts)) for head in heads]
        [(7, 0, 1), (7, 1, 1)]
    """
    if blocks < 1:
        raise InputError(f"Expected blocks of at least 1, but got {blocks}.")
    features = explainer.encode(texts)
    # a clone, because a view would keep the heads of all blocks in memory
    heads = [decompose(explainer, image).heads[-blocks:].clone() for image in images]
    if len(heads) < 2:
        raise InputError(f"Expected at least two images, but got {len(heads)}.")
    contributions = torch.stack(heads, dim=2)  # (L, h, n, D)
    first = len(explainer.backbone.tower.blocks) - len(contributions)
    return [
        _describe(block + first, head, values, features.labels.cpu(), features.texts, count)
        for block, block_values in enumerate(contributions)
        for head, values in enumerate(block_values)
    ]


def _describe(
    block: int, head: int, values: Tensor, labels: Tensor, texts: Sequence[str], count: int
) -> HeadDescription:
    """Return the description of one head from its contributions (n, D)."""
    span = text_span(values, labels, count=count)
    return HeadDescription(
        block=block,
        head=head,
        texts=tuple(texts[text.position] for text in span),
        shares=tuple(text.share for text in span),
        variance=float(values.double().var(dim=0, correction=0).sum()),
    )
