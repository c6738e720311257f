"""Findings: for each label, the words whose regions carry its evidence, with intervals.

Findings are ranked by the lower end of the interval of their share, so that a few images with a
large share do not come before many images with a sure one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip_surgery.audits.concepts import OWN, Numbers, name_regions
from clip_surgery.audits.regions import ImageRegions
from clip_surgery.evaluation.intervals import Interval

FLAGGED_SHARE = 0.25
FEWEST_IMAGES = 4
EXAMPLES = 6
"""Number of example images of a finding."""
Entry = tuple[int, float, float, NDArray[np.int64]]
"""Index of an image, share and loss without the regions of a word, and indices of these regions."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A label that is read from regions that look like another word.

    Attributes:
        label: the label.
        word: the word that the regions look like.
        share: mean share of the label's evidence that is lost without these regions, over the
            images that are read as the label and show the word, in [0, 1].
        weight: the same over all images that are read as the label.
        loss: mean loss of log-odds of the label without these regions.
        flagged: whether the interval of `share` is above `FLAGGED_SHARE`, over at least
            `FEWEST_IMAGES` images.
        examples: indices of the images with the largest loss.
        regions: for each example, the indices of its regions that look like the word.
    """

    label: str
    word: str
    share: Interval
    weight: Interval
    loss: Interval
    flagged: bool
    examples: tuple[int, ...]
    regions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class LabelSummary:
    """How often a label is read, and how much of its evidence lies in its own regions.

    Attributes:
        label: the label.
        images: number of images that are read as the label.
        label_share: mean share of the evidence in regions that look like the label itself; None
            without images.
    """

    label: str
    images: int
    label_share: Interval | None


def find_shortcuts(
    images: Sequence[ImageRegions], words: Numbers, names: Sequence[str], *, labels: int
) -> tuple[list[Finding], list[LabelSummary]]:
    """Return the findings of all labels, ranked, and a summary of each label.

    An image is read as a label if the label is the word that it matches best. The share of a region
    is its loss over the sum of the losses of all regions of the image; negative losses count as 0.

    Args:
        images: the regions of N images.
        words: text features (W, D), those of the labels first.
        names: the W words.
        labels: number of labels.
    """
    if not images:
        return [], [LabelSummary(label=names[n], images=0, label_share=None) for n in range(labels)]
    features = np.concatenate([image.features for image in images])
    starts = np.cumsum([0, *(len(image.features) for image in images)])
    findings, summaries = [], []
    for label in range(labels):
        read = [index for index, image in enumerate(images) if image.best_word == label]
        named = name_regions(features, words, label) if read else np.zeros(0, dtype=np.int64)
        label_shares: list[float] = []
        entries_of_words: dict[int, list[Entry]] = {}
        for index in read:
            words_of_regions = named[starts[index] : starts[index + 1]]
            losses = images[index].losses[:, label]
            shares = _shares(losses)
            label_shares.append(float(shares[words_of_regions == OWN].sum()))
            for word in np.unique(words_of_regions[words_of_regions != OWN]).tolist():
                is_word = words_of_regions == word
                entry = (index, float(shares[is_word].sum()), float(losses[is_word].sum()))
                entries_of_words.setdefault(word, []).append((*entry, np.flatnonzero(is_word)))
        for word, entries in entries_of_words.items():
            findings.append(_finding(names[label], names[word], entries, len(read)))
        share = Interval.of_mean(label_shares, bounds=(0, 1)) if label_shares else None
        summaries.append(LabelSummary(label=names[label], images=len(read), label_share=share))
    findings.sort(key=_rank)
    return findings, summaries


def _rank(finding: Finding) -> tuple[bool, bool, float]:
    """Order findings: flagged ones first, then those over enough images, by the sure share."""
    is_rare = finding.share.count < FEWEST_IMAGES
    return (not finding.flagged, is_rare, -(finding.share.low or 0.0))


def _shares(losses: Numbers) -> Numbers:
    positive = np.maximum(losses, 0)
    total = positive.sum()
    return np.asarray(positive / total if total > 0 else positive, dtype=np.float32)


def _finding(label: str, word: str, entries: list[Entry], read: int) -> Finding:
    shares = [share for _, share, _, _ in entries]
    share = Interval.of_mean(shares, bounds=(0, 1))
    best = sorted(entries, key=lambda entry: -entry[2])[:EXAMPLES]
    return Finding(
        label=label,
        word=word,
        share=share,
        weight=Interval.of_mean([*shares, *[0.0] * (read - len(shares))], bounds=(0, 1)),
        loss=Interval.of_mean([loss for _, _, loss, _ in entries]),
        flagged=len(entries) >= FEWEST_IMAGES and (share.low or 0.0) > FLAGGED_SHARE,
        examples=tuple(index for index, _, _, _ in best),
        regions=tuple(tuple(int(region) for region in regions) for _, _, _, regions in best),
    )
