"""Presence: how likely a text is in the image at all.

Min-max makes the map of an absent object as hot as that of a present one; presence is what tells
them apart. It reads how far the text stands out from reference words, e in the whole image and
d in its best patches (`surgery.reference_log_ratios`), both log ratios:

    presence = sigmoid(a e + b d + c)

Whole image and patches need each other: a small object hardly moves the image's feature, and
a patch alone mistakes a texture for an object. a, b and c were fitted on scenes of the demo model
(see `PresenceRule`); the value is in [0, 1] and rises with the text's similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.tasks.text_selection import Texts, select_texts


@dataclass(frozen=True, kw_only=True)
class PresenceRule:
    """How standing becomes presence.

    The defaults are a logistic regression on 600 generated scenes with the demo model, where one
    in 23 texts was present (`benchmarks/presence.py`). Other models rank by it as well; what they
    call likely may need an `offset` of their own.

    Attributes:
        image: a, weight of the whole image's log ratio.
        patches: b, weight of the best patches' log ratio.
        offset: c; higher makes every text more present.

    Raises:
        InputError: when a weight is negative: presence would fall with similarity.
    """

    picture: float = 1.01
    patches: float = 0.62
    offset: float = -0.78

    def __post_init__(self) -> None:
        if not (self.picture >= 0 and self.patches >= 0):
            raise InputError(
                f"Expected weights of 0 or more, but got {self.picture} and {self.patches}."
            )


def presence(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    rule: PresenceRule | None = None,
) -> Tensor:
    """Return the probability that each text is in each image: (B, T) in [0, 1].

    Args:
        explanation: explanations of B images for C texts, made with a vocabulary.
        texts: texts to use, each on its own; all texts by default. The probability of a union is
            the highest of its texts.
        union: whether all texts together are one object.
        rule: how log ratios become a probability.

    Raises:
        InputError: if the explanation was made without a vocabulary.
        UnknownNameError: if the explanation was not made for a text.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo", vocabulary="common")
        >>> presence(explainer(Image.new("RGB", (96, 96)), ["dog"])).shape
        torch.Size([1, 1])
    """
    if explanation.reference_log_ratios is None:
        raise InputError(
            "Expected an explanation with reference words for presence, but it was made without: "
            "load the explainer with vocabulary='common'."
        )
    rule = rule or PresenceRule()
    picture, patches = explanation.reference_log_ratios.float().unbind(dim=1)
    probabilities = torch.sigmoid(rule.picture * picture + rule.patches * patches + rule.offset)
    selection = select_texts(explanation, texts, union=union)
    return selection.unite(selection.take(probabilities))


def texts_present(
    explanation: Explanation, min_presence: float | None, *, rule: PresenceRule | None = None
) -> Tensor:
    """Return which texts are at least this likely in which image: (B, C) bool; all if None.

    Raises:
        InputError: if min_presence is not within 0 to 1, or it is given and the explanation was
            made without a vocabulary.
    """
    if min_presence is None:
        return torch.ones(len(explanation), len(explanation.texts), dtype=torch.bool)
    if not 0 <= min_presence <= 1:
        raise InputError(f"Expected min_presence to be within 0 to 1, but got {min_presence}.")
    return presence(explanation, rule=rule) >= min_presence
