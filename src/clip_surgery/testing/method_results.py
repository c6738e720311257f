"""Contracts on what a method returns.

Each contract is a function of a `MethodCase` that raises an AssertionError if it is broken.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.registry import method_named
from clip_surgery.testing.expectations import expect, expect_close
from clip_surgery.testing.method_case import MethodCase
from clip_surgery.text.features import TextFeatures

GRIDS = ((4, 4), (2, 5), (1, 1), (6, 3))
"""Rows and columns of patches: a square, two rectangles and a single patch."""


def check_shapes(case: MethodCase) -> None:
    """Every grid of patches, also of one patch, gives finite scores of the right shape."""
    for rows, columns in GRIDS:
        evidence = case.explain(case.pixels(rows, columns))
        grid = (evidence.grid.rows, evidence.grid.columns)
        expect(grid == (rows, columns), f"a grid of {(rows, columns)} rows and columns", grid)
        _expect_scores(evidence, 2, len(case.texts.texts), rows * columns)


def check_types(case: MethodCase) -> None:
    """Scores are float32 on the device of the model; those of gradient methods have no graph."""
    evidence = case.explain(case.pixels())
    for name in ("patches", "similarity", "image", "reference_log_ratios"):
        scores = getattr(evidence, name)
        if scores is None:
            continue
        expect(scores.dtype == torch.float32, f"{name} of torch.float32", scores.dtype)
        expect(
            scores.device == case.backbone.device,
            f"{name} on {case.backbone.device}",
            scores.device,
        )
        expect(not scores.requires_grad, f"{name} without a graph of gradients", "one with a graph")


def check_one_text(case: MethodCase) -> None:
    """A single text gives a map that is not flat.

    The text and its opposite are tried, because a ReLU may leave nothing of one of them.
    """
    first = case.texts.labels[:1]
    spreads = []
    for labels in (first, -first):
        texts = replace(case.texts, texts=case.texts.texts[:1], labels=labels)
        evidence = case.explain(case.pixels(), texts)
        _expect_scores(evidence, 2, 1, 16)
        spreads.append(float(evidence.patches.std()))
    expect(max(spreads) > 0, "different scores in different patches", "a flat map")


def check_image_score(case: MethodCase) -> None:
    """The score of an image is the cosine of CLIP's image feature and the text feature."""
    pixels = case.pixels()
    cosine = replace(case, method=method_named("similarity")).explain(pixels).image
    expect_close(
        case.explain(pixels).image,
        cosine,
        "CLIP's cosine of image and text as the image score",
        rtol=1.3e-6,
    )


def check_batch(case: MethodCase) -> None:
    """Images in a batch get the scores that they get alone."""
    pixels = case.pixels(batch=3)
    together = case.explain(pixels)
    for index in range(3):
        alone = case.explain(pixels[index : index + 1])
        what = f"the scores of image {index} alone in a batch of three"
        expect_close(together.patches[index], alone.patches[0], what)
        expect_close(together.image[index], alone.image[0], what, rtol=1.3e-6)


def check_order_of_images(case: MethodCase) -> None:
    """Images in another order give the same scores in that order."""
    pixels = case.pixels(batch=3)
    order = torch.tensor([2, 0, 1], device=pixels.device)
    expected = case.explain(pixels).patches[order]
    expect_close(case.explain(pixels[order]).patches, expected, "the scores in the images' order")


def check_order_of_texts(case: MethodCase) -> None:
    """Texts in another order give the same scores in that order."""
    pixels = case.pixels()
    order = [2, 0, 1]
    texts = replace(
        case.texts,
        texts=tuple(case.texts.texts[index] for index in order),
        labels=case.texts.labels[order],
    )
    evidence, reordered = case.explain(pixels), case.explain(pixels, texts)
    what = "the scores in the order of the texts"
    expect_close(reordered.patches, evidence.patches[:, order], what)
    expect_close(reordered.image, evidence.image[:, order], what)


def check_determinism(case: MethodCase) -> None:
    """The same images give the same scores again, also after images of another size."""
    pixels = case.pixels()
    first = case.explain(pixels)
    case.explain(case.pixels(9, 7))
    second = case.explain(pixels)
    what = "the same scores after a larger image in between"
    exact = 0.0 if case.backbone.device.type == "cpu" else 1e-5
    expect_close(second.patches, first.patches, what, rtol=exact, atol=exact)


def check_threads(case: MethodCase) -> None:
    """Calls in several threads, with images of several sizes, give the scores of single calls."""
    grids = ((4, 4), (3, 6), (4, 4), (5, 2)) * 2
    images = [case.pixels(*grid, seed=seed) for seed, grid in enumerate(grids)]
    expected = [case.explain(pixels).patches for pixels in images]
    all_started = Barrier(len(images))

    def explain_with_the_others(pixels: Tensor) -> Tensor:
        all_started.wait()
        return case.explain(pixels).patches

    with ThreadPoolExecutor(max_workers=len(images)) as pool:
        actual = list(pool.map(explain_with_the_others, images))
    for in_thread, alone in zip(actual, expected, strict=True):
        expect_close(in_thread, alone, "the scores of calls one after another", rtol=1.3e-6)


def check_redundancy(case: MethodCase) -> None:
    """The setting `redundancy` of a dense method changes the evidence, not the similarity."""
    pixels = case.pixels()
    results = {
        redundancy: _with_redundancy(case, redundancy).explain(pixels)
        for redundancy in ("none", "labels", "empty text", "vocabulary")
    }
    unchanged = results.pop("none")
    for redundancy, evidence in results.items():
        expect(
            not torch.allclose(evidence.patches, unchanged.patches),
            f"redundancy={redundancy!r} to change the scores",
            "the same scores",
        )
        if unchanged.similarity is not None and evidence.similarity is not None:
            expect_close(evidence.similarity, unchanged.similarity, "an unchanged similarity")
    _expect_reference_words_needed(_with_redundancy(case, "vocabulary"), case.texts)


def _with_redundancy(case: MethodCase, redundancy: str) -> MethodCase:
    return replace(case, method=replace(case.method, redundancy=redundancy))  # type: ignore[type-var]


def _expect_reference_words_needed(case: MethodCase, texts: TextFeatures) -> None:
    try:
        case.explain(case.pixels(), replace(texts, reference=None))
    except InputError as error:
        message = str(error)
        expect("reference words" in message, "an error about reference words", message)
    else:
        raise AssertionError("expected an InputError without reference words, but got scores")


def _expect_scores(evidence: Evidence, images: int, texts: int, patches: int) -> None:
    """Check the shapes of the evidence, and that its scores are finite."""
    shapes = {"patches": (images, texts, patches), "image": (images, texts)}
    if evidence.similarity is not None:
        shapes["similarity"] = (images, texts, patches)
    for name, shape in shapes.items():
        scores = getattr(evidence, name)
        expect(tuple(scores.shape) == shape, f"{name} of shape {shape}", tuple(scores.shape))
        expect(bool(torch.isfinite(scores).all()), f"finite {name}", "NaN or infinite values")
