"""Choose for each class the prompt templates with which it is recognised best, without labels.

Source: FLOSS (arXiv 2504.10487) and its released code. A template alone makes a classifier. For
each class the templates whose classifier is least uncertain where it predicts the class are its
experts: lowest mean entropy over the patches of unlabelled images. The expert of a class is a
classifier of all classes with the mean of these templates. A patch takes the expert that predicts
the expert's own class, of several the one with the highest probability, and otherwise the usual
mean of all templates. Differences from the code: patches take the place of pixels; a class that no
template predicts has the mean of all templates as expert, where the code stops with an error.

Letters: M templates, C texts, D joint width, P patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.errors import InputError
from clip_surgery.text.features import TextFeatures

EXPERTS = 4
"""Number of templates of an expert in the released code."""
LOGIT_SCALE = 100.0
"""Factor on cosines before the softmax in the released code, which is CLIP's own."""


def choose_templates(
    patches: Iterable[Tensor],
    templates: Tensor,
    *,
    count: int | None = EXPERTS,
    logit_scale: float = LOGIT_SCALE,
) -> Tensor:
    """Return which templates are the experts of each text.

    Args:
        patches: features of the patches of unlabelled images (..., D), one tensor for each image
            or batch, of any length.
        templates: features of the texts in each template (M, C, D), from `template_features`.
        count: number of templates for each text; None keeps all. There are fewer if fewer predict
            the text anywhere, and all if none does or if there is one text only.
        logit_scale: factor on the cosines before the softmax over texts.

    Returns:
        (C, M) bool.

    Raises:
        InputError: if count or logit_scale is not positive, shapes do not agree, values are not
            finite, or there is no patch.

    Example:
        The second template gives the same feature to both texts, so that it is never certain.

        >>> patches = torch.eye(2)
        >>> templates = torch.stack([torch.eye(2), torch.ones(2, 2)])
        >>> choose_templates([patches], templates, count=1)
        tensor([[ True, False],
                [ True, False]])
    """
    if templates.ndim != 3 or not all(templates.shape) or not bool(templates.isfinite().all()):
        raise InputError(
            f"Expected finite templates (M, C, D), but got {tuple(templates.shape)} with "
            f"{int((~templates.isfinite()).sum())} values that are not finite."
        )
    if count is not None and count < 1:
        raise InputError(f"Expected count of at least 1 template, but got {count}.")
    if not 0 < logit_scale < float("inf"):
        raise InputError(f"Expected logit_scale above 0, but got {logit_scale}.")
    unit = normalize(templates.float(), dim=-1)
    sums, counts = (
        unit.new_zeros(templates.shape[:2], dtype=torch.float64) for _ in range(2)
    )  # (M, C)
    for batch in patches:
        features = _checked_patches(batch, templates.shape[-1]).to(unit)
        for template, texts in enumerate(unit):
            logits = logit_scale * features @ texts.T  # (n, C)
            entropy = torch.special.entr(logits.softmax(dim=-1)).sum(dim=-1).double()
            predicted = logits.argmax(dim=-1)
            sums[template].index_add_(0, predicted, entropy)
            counts[template].index_add_(0, predicted, torch.ones_like(entropy))
    if not bool(counts.any()):
        raise InputError("Expected patches of at least one image to choose templates, got none.")
    if count is None or templates.shape[1] == 1:
        return torch.ones(templates.shape[1::-1], dtype=torch.bool, device=unit.device)
    means = torch.where(counts > 0, sums / counts, torch.inf).T  # (C, M)
    order = means.argsort(dim=1, stable=True)[:, :count]
    chosen = torch.zeros_like(means, dtype=torch.bool).scatter_(1, order, value=True)
    chosen &= means.isfinite()
    return chosen | ~chosen.any(dim=1, keepdim=True)


def with_experts(texts: TextFeatures, templates: Tensor, chosen: Tensor) -> TextFeatures:
    """Return the features of texts together with the expert of each text.

    Segmentation with any dense method then compares experts. Heatmaps, points and presence use
    the features of the texts as before.

    Args:
        texts: features of C texts.
        templates: features of these texts in each template (M, C, D), from `template_features`.
        chosen: the templates of each text (C, M) bool, from `choose_templates`.

    Raises:
        InputError: if the shapes do not agree, or a text has no template.

    Example:
        >>> texts = TextFeatures(texts=("cat", "dog"), labels=torch.eye(2), empty=torch.ones(2))
        >>> templates = torch.eye(2).expand(3, 2, 2)
        >>> with_experts(texts, templates, torch.ones(2, 3, dtype=torch.bool)).experts.shape
        torch.Size([2, 2, 2])
    """
    count, width = texts.labels.shape
    expected = (templates.shape[0], count, width)
    if tuple(templates.shape) != expected or tuple(chosen.shape) != (count, templates.shape[0]):
        raise InputError(
            f"Expected templates (M, {count}, {width}) and chosen ({count}, M), "
            f"but got {tuple(templates.shape)} and {tuple(chosen.shape)}."
        )
    if not bool(chosen.any(dim=1).all()):
        raise InputError("Expected at least one chosen template for each text.")
    unit = normalize(templates.float(), dim=-1)
    means = torch.einsum("em,mcd->ecd", chosen.to(unit), unit)
    return replace(texts, experts=normalize(means, dim=-1).to(texts.labels))


def expert_scores(
    scores: Callable[[Tensor], Tensor],
    experts: Tensor,
    usual: Tensor,
    *,
    logit_scale: float = LOGIT_SCALE,
) -> Tensor:
    """Return the scores of each patch by the expert that is responsible for it.

    Args:
        scores: returns the scores (..., C) of patches for texts (C, D), such as cosines.
        experts: features of all texts by the expert of each text (C, C, D).
        usual: scores (..., C) where no expert predicts its own text.
        logit_scale: factor on the scores before the softmax, which compares experts.

    Returns:
        (..., C).

    Example:
        >>> experts = torch.eye(2).expand(2, 2, 2)
        >>> patch = torch.tensor([[0.6, 0.8]])
        >>> expert_scores(lambda texts: patch @ texts.T, experts, torch.zeros(1, 2))
        tensor([[0.6000, 0.8000]])
    """
    result, best = usual, torch.zeros_like(usual[..., 0])
    for number, texts in enumerate(experts):
        scores_by_expert = scores(texts)
        probability = (logit_scale * scores_by_expert).softmax(dim=-1)[..., number]
        better = (scores_by_expert.argmax(dim=-1) == number) & (probability > best)
        result = torch.where(better[..., None], scores_by_expert, result)
        best = torch.where(better, probability, best)
    return result


def _checked_patches(batch: Tensor, width: int) -> Tensor:
    """The unit features (n, D) of patches (..., D)."""
    if batch.ndim < 2 or batch.shape[-1] != width or not bool(batch.isfinite().all()):
        raise InputError(
            f"Expected finite features of patches (..., {width}), but got {tuple(batch.shape)} "
            f"with {int((~batch.isfinite()).sum())} values that are not finite."
        )
    return normalize(batch.float(), dim=-1).flatten(0, -2)
