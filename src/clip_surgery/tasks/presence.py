"""Presence: how likely a text is in the image at all.

The map of an absent object is scaled to the same range as that of a present one; presence tells
them apart. It depends on how a text compares with reference words, in the whole image and in its
best patches (`surgery.reference_log_ratios`, `presence_rule`), and not on the other texts
of the explanation.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.calibrated_presence import CalibratedPresence
from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.explanation import Explanation
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.presence_statistics import adjusted_p_values
from clip_surgery.tasks.text_selection import Texts, select_texts

DEMO = "demo"
"""Name of the bundled model, to which the default of `PresenceRule` was fitted."""


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
    ratios = _log_ratios(explanation)
    rule = rule or explanation.presence_rule or PresenceRule()
    probabilities = rule.probabilities(ratios)
    selection = select_texts(explanation, texts, union=union)
    return selection.unite(selection.take(probabilities))


def is_presence_calibrated(explanation: Explanation) -> bool:
    """Return whether the probabilities of presence were calibrated for the model.

    They are for the bundled demo model, to which the default of `PresenceRule` was fitted, and for
    a model to which `calibrate_presence` fitted a rule. For other models the order of texts is
    meaningful, and the probabilities are often too low or too high.
    """
    return explanation.reference_log_ratios is not None and (
        explanation.presence_rule is not None or explanation.backbone == DEMO
    )


def presence_p_values(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    rule: CalibratedPresence | None = None,
    adjust: bool = False,
) -> Tensor:
    """Return the probability that an absent text has at least the score of each text: (B, T).

    A small value is evidence that the text is in the image. The null are the scores of absent texts
    in the images of the calibration.

    Args:
        explanation: explanations of B images for C texts, made with a vocabulary.
        texts: texts to use, each on its own; all texts by default. The value of a union is the
            smallest of its texts, times their number (Bonferroni).
        union: whether all texts together are one object.
        rule: the calibration. If None, the one that `calibrate_presence` has stored for the model.
        adjust: whether the values of an image are adjusted for the number of texts, by Benjamini
            and Hochberg: texts with an adjusted value of at most q contain a share of at most q
            absent ones on average.

    Returns:
        (B, T) float64 in (0, 1]; without adjustment at least 1 / (n + 1) for n scores of the null.

    Raises:
        InputError: if the explanation was made without a vocabulary, or there is no calibration.
        UnknownNameError: if the explanation was not made for a text.
    """
    ratios = _log_ratios(explanation)
    rule = rule or calibration_of(explanation)
    values = torch.from_numpy(rule.p_values(ratios))
    selection = select_texts(explanation, texts, union=union)
    sizes = torch.tensor([len(group) for group in selection.groups], dtype=torch.float64)
    united = -selection.unite(-selection.take(values)) * sizes
    united = united.clamp(max=1.0)
    return torch.from_numpy(adjusted_p_values(united.numpy())) if adjust else united


def calibration_of(explanation: Explanation) -> CalibratedPresence:
    """Return the calibration that the explanation was made with.

    Raises:
        InputError: if there is none.
    """
    return _calibrated(explanation.presence_rule)


def explainer_calibration(explainer: Explainer) -> CalibratedPresence:
    """Return the calibration of the presence of a model.

    Raises:
        InputError: if there is none.
    """
    return _calibrated(explainer.find_presence_rule())


def _calibrated(rule: PresenceRule | None) -> CalibratedPresence:
    if not isinstance(rule, CalibratedPresence):
        raise InputError(
            "Expected a model whose presence was calibrated, for p-values and miss rates: run "
            "`clip-surgery calibrate`, or call calibrate_presence with labelled images first."
        )
    return rule


def _log_ratios(explanation: Explanation) -> Tensor:
    if explanation.reference_log_ratios is None:
        raise InputError(
            "Expected an explanation with reference words for presence, but it was made without: "
            "load the explainer with vocabulary='small'."
        )
    return explanation.reference_log_ratios


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
