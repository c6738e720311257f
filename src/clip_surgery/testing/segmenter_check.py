"""Run the contracts that every promptable segmentation model must keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import nn

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.segmenters.image_attention import DenseSegmenter, attention_of_image
from clip_surgery.segmenters.segmenter import Candidates, Prompt, Segmenter
from clip_surgery.testing.expectations import expect, expect_close, named_contract
from clip_surgery.testing.model_state import model_state, state_differences

SIZES = (Size(50, 80), Size(80, 50), Size(33, 33), Size(7, 5))
"""Heights and widths of the images that segmenters are checked with."""


def check_segmenter(segmenter: Segmenter) -> None:
    """Check that a segmenter keeps the contracts that `masks` and methods rely on.

    Args:
        segmenter: the segmenter.

    Raises:
        AssertionError: if a contract is broken. The message names the contract, what was expected
            and what came.

    Example:
        >>> class Thresholds:
        ...     "Cuts an image at its mean brightness, whatever the prompt is."
        ...     def __call__(self, image, prompts):
        ...         grey = torch.tensor(np.array(image.image.convert("L"))).float()
        ...         masks = torch.stack([grey > grey.mean(), grey <= grey.mean()])
        ...         return [Candidates(masks=masks, scores=torch.tensor([0.5, 0.4]))] * len(prompts)
        >>> check_segmenter(Thresholds())
    """
    for name, check in SEGMENTER_CONTRACTS.items():
        with named_contract(type(segmenter).__name__, name):
            check(segmenter)


def check_candidates(segmenter: Segmenter) -> None:
    """Each kind of prompt gives boolean masks of the size of the image, and finite scores."""
    for size in SIZES:
        image, prompts = _image(size), _prompts(size)
        results = segmenter(image, prompts)
        expect(
            len(results) == len(prompts),
            f"candidates for each of {len(prompts)} prompts",
            f"{len(results)} of them",
        )
        for candidates in results:
            _expect_candidates(candidates, size)


def check_no_prompts(segmenter: Segmenter) -> None:
    """An image without prompts gives an empty list."""
    results = segmenter(_image(SIZES[0]), [])
    expect(list(results) == [], "an empty list for no prompts", results)


def check_order_of_prompts(segmenter: Segmenter) -> None:
    """Prompts do not affect each other: in another order or alone they give the same masks."""
    image, prompts = _image(SIZES[0]), _prompts(SIZES[0])
    expected = segmenter(image, prompts)
    backwards = list(segmenter(image, prompts[::-1]))[::-1]
    for candidates, same_prompt in zip(expected, backwards, strict=True):
        _expect_same(same_prompt, candidates, "the candidates in the order of the prompts")
    for prompt, candidates in zip(prompts, expected, strict=True):
        [alone] = segmenter(image, [prompt])
        _expect_same(alone, candidates, "the candidates of a prompt that is given alone")


def check_determinism(segmenter: Segmenter) -> None:
    """The same image and prompts give the same candidates again, also after another image."""
    image, prompts = _image(SIZES[0]), _prompts(SIZES[0])
    first = segmenter(image, prompts)
    segmenter(_image(SIZES[1]), _prompts(SIZES[1]))
    for again, candidates in zip(segmenter(image, prompts), first, strict=True):
        _expect_same(again, candidates, "the same candidates after another image in between")


def check_unchanged(segmenter: Segmenter) -> None:
    """The image, the prompts and the models of the segmenter are not changed."""
    image, prompts = _image(SIZES[0]), _prompts(SIZES[0])
    pixels = np.asarray(image.image).copy()
    logits = [None if prompt.logits is None else prompt.logits.clone() for prompt in prompts]
    attributes = getattr(segmenter, "__dict__", {})
    models = {name: part for name, part in attributes.items() if isinstance(part, nn.Module)}
    states = {name: model_state(model) for name, model in models.items()}
    segmenter(image, prompts)
    expect(np.array_equal(np.asarray(image.image), pixels), "an unchanged image", "other pixels")
    for prompt, before in zip(prompts, logits, strict=True):
        same = before is None or (prompt.logits is not None and torch.equal(prompt.logits, before))
        expect(same, "an unchanged rough mask", "other values")
    for name, model in models.items():
        differences = state_differences(states[name], model_state(model))
        expect(not differences, f"an unchanged {name}", f"changes of {', '.join(differences)}")


def check_image_attention(segmenter: Segmenter) -> None:
    """If the segmenter gives attention, rows are finite and sum to at most 1, in any parts."""
    for size in SIZES if isinstance(segmenter, DenseSegmenter) else ():
        try:
            attention = attention_of_image(segmenter, _image(size))
        except UnsupportedModelError:
            return
        values, count = attention.values, attention.grid.patches
        expect(bool(torch.isfinite(values).all()), "finite values", "others")
        whole = attention.weights(slice(0, count))
        shape = (len(values), count, count)
        expect(tuple(whole.shape) == shape, f"weights {shape}", tuple(whole.shape))
        sums = whole.float().sum(dim=-1)
        expect(
            bool((whole >= 0).all()) and bool((sums <= 1.01).all()),
            "weights of 0 or more that sum to at most 1",
            f"{float(whole.min()):.2g} as lowest weight and {float(sums.max()):.2g} as largest sum",
        )
        last = attention.weights(slice(count - 1, count))
        expect_close(last, whole[:, count - 1 :], "weights of the last query alone")


SEGMENTER_CONTRACTS: Mapping[str, Callable[[Segmenter], None]] = MappingProxyType(
    {
        "candidates": check_candidates,
        "no prompts": check_no_prompts,
        "order of prompts": check_order_of_prompts,
        "determinism": check_determinism,
        "unchanged": check_unchanged,
        "image attention": check_image_attention,
    }
)
"""All contracts of segmenters by name."""


def _image(size: Size) -> InputImage:
    """An image of noise."""
    generator = np.random.default_rng(0)
    return read_image(generator.integers(0, 256, (*size, 3), dtype=np.uint8))


def _prompts(size: Size) -> list[Prompt]:
    """Points, points on and off the object, a box, a rough mask, and all of them together."""
    height, width = size
    points = np.array([[0.5, 0.5], [width - 0.5, height - 0.5]], dtype=np.float32)
    none = np.zeros((0, 2), dtype=np.float32)
    no_labels = np.zeros(0, dtype=np.int64)
    box = (0.0, 0.0, width / 2, height / 2)
    logits = torch.full((height, width), -10.0)
    logits[: height // 2] = 10.0
    labels = np.array([1, 0], dtype=np.int64)
    return [
        Prompt(xy=points[:1], labels=labels[:1]),
        Prompt(xy=points, labels=labels),
        Prompt(xy=none, labels=no_labels, box=box),
        Prompt(xy=none, labels=no_labels, logits=logits),
        Prompt(xy=points, labels=labels, box=box, logits=logits),
    ]


def _expect_candidates(candidates: Candidates, size: Size) -> None:
    expect(isinstance(candidates, Candidates), "Candidates", type(candidates).__name__)
    masks, scores = candidates.masks, candidates.scores
    expect(masks.dtype == torch.bool, "masks of torch.bool", masks.dtype)
    shape = tuple(masks.shape[1:])
    expect(shape == tuple(size), f"masks of the image's height and width {tuple(size)}", shape)
    expect(scores.is_floating_point(), "scores of floating point", scores.dtype)
    expect(bool(torch.isfinite(scores).all()), "finite scores", scores.tolist())


def _expect_same(actual: Candidates, expected: Candidates, what: str) -> None:
    expect_close(actual.scores, expected.scores, f"scores as {what}")
    expect(
        actual.masks.shape == expected.masks.shape, f"masks as {what}", tuple(actual.masks.shape)
    )
    differing = float((actual.masks != expected.masks).float().mean())
    expect(differing < 1e-3, f"masks as {what}", f"{differing:.1%} of the pixels differ")
