"""Presence: how likely a text is in the image at all.

The map of an absent object is scaled to the same range as that of a present one; presence tells
them apart. It depends on how a text compares with reference words, in the whole image and in its
best patches (`surgery.reference_log_ratios`, `presence_rule`), and not on the other texts
of the explanation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.tasks.text_selection import Texts, select_texts


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
        rule: how log ratios become a probability. If None, the rule that was calibrated for the
            model, otherwise the default of `PresenceRule`.

    Raises:
        InputError: if the explanation was made without a vocabulary.
        UnknownNameError: if the explanation was not made for a text.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo")
        >>> presence(explainer(Image.new("RGB", (96, 96)), ["dog"])).shape
        torch.Size([1, 1])
    """
    if explanation.reference_log_ratios is None:
        raise InputError(
            "Expected an explanation with reference words for presence, but it was made without: "
            "load the explainer with vocabulary='small'."
        )
    rule = rule or explanation.presence_rule or PresenceRule()
    probabilities = rule.probabilities(explanation.reference_log_ratios)
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
