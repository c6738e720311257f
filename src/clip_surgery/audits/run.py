"""An audit of a folder of images, image by image, so that an interrupted run can go on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from clip_surgery.audits.findings import Finding, LabelSummary, find_shortcuts
from clip_surgery.audits.masked_images import MaskedImages
from clip_surgery.audits.regions import REGIONS, ImageRegions, image_regions
from clip_surgery.audits.slices import Slice, error_slices
from clip_surgery.audits.with_masks import MaskedOutcome, MaskedSummary, summarise
from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.execution.journal import DamagedPartError, Journal
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.inputs.texts import check_texts


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What the labels of a data set are read from.

    Attributes:
        model: name of the model.
        labels: the labels.
        images: paths of the images that were used; indices of findings and slices refer to them.
        skipped: messages of the images that could not be used.
        findings: the findings, ranked.
        summaries: for each label, how often it is read.
        slices: groups of images with errors; empty if true labels are not known.
        masked: the measures with masks; None without masks.
    """

    model: str
    labels: tuple[str, ...]
    images: tuple[str, ...]
    skipped: tuple[str, ...]
    findings: tuple[Finding, ...]
    summaries: tuple[LabelSummary, ...]
    slices: tuple[Slice, ...]
    masked: MaskedSummary | None

    def to_values(self) -> dict[str, Any]:
        """Return the report as values for JSON."""
        return asdict(self)


def context_words() -> tuple[str, ...]:
    """Return the bundled words for what surrounds objects: places, surfaces and materials."""
    text = Path(__file__).with_name("contexts.txt").read_text(encoding="utf-8")
    return check_texts(line for line in text.splitlines() if line and not line.startswith("#"))


def audit(
    explainer: Explainer,
    images: Sequence[str | Path],
    labels: Sequence[str],
    *,
    vocabulary: Sequence[str] | None = None,
    masks: Dataset | None = None,
    regions: int = REGIONS,
    journal: str | Path | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> tuple[AuditReport, list[ImageRegions]]:
    """Find out what labels are read from over a data set.

    An image is in memory only while it is measured. Of each image some kilobytes are kept.

    Args:
        explainer: the model.
        images: paths of the images. The true label of an image is the name of its folder, if that
            is one of the labels.
        labels: the labels.
        vocabulary: words for regions. If None, `context_words()` for published models, and all
            known words for a model that knows few.
        masks: images with masks, for measures of backgrounds; its names should be the labels.
        regions: largest number of regions of an image.
        journal: folder for the values of finished images, with which an interrupted run goes on.
        on_progress: called with the number of images that were finished.

    Returns:
        The report, and the regions of the images of the report.

    Raises:
        InputError: if there are fewer than two words in all, no image can be used, or the journal
            is of another run.
        MissingExtraError: if scikit-learn is not installed.
    """
    _require_sklearn()
    label_names = check_texts(labels)
    if vocabulary is None:
        vocabulary = explainer.backbone.nouns or context_words()
    known = {name.casefold() for name in label_names}
    others = [word for word in check_texts(vocabulary) if word.casefold() not in known]
    names = (*label_names, *others)
    if len(names) < 2 or regions < 1:
        raise InputError(f"Expected two words or more, and a region: {len(names)}, {regions}.")
    words = explainer.encode(names).labels
    kept = None
    if journal is not None:
        kept = Journal.open(
            journal, _identity(explainer, images, names, len(label_names), regions), part_size=1
        )

    def measure(index: int) -> bytes:
        try:
            pixels = explainer.pixels(read_image(images[index]))
            of_image = image_regions(
                explainer.backbone, pixels, words, labels=len(label_names), count=regions
            )
        except ClipSurgeryError as error:
            return b"!" + " ".join(str(error).split()).encode("utf-8", "backslashreplace")
        file = io.BytesIO()
        np.savez(file, **{field.name: getattr(of_image, field.name) for field in fields(of_image)})
        return file.getvalue()

    measured, used, skipped = [], [], []
    for index in range(len(images)):
        content = _stored(kept, index)
        if content is None:
            content = measure(index)
            if kept is not None:
                kept.write(index, content)
        if content.startswith(b"!"):
            skipped.append(content[1:].decode())
        else:
            measured.append(_regions_from(content))
            used.append(str(images[index]))
        on_progress(1)
    if not measured:
        raise InputError(
            f"Expected at least one image that can be used, but none of {len(images)} can: "
            f"{skipped[0] if skipped else 'there is no image'}"
        )
    numbers = words.float().cpu().numpy()
    findings, summaries = find_shortcuts(measured, numbers, names, labels=len(label_names))
    report = AuditReport(
        model=explainer.backbone.name,
        labels=label_names,
        images=tuple(used),
        skipped=tuple(skipped),
        findings=tuple(findings),
        summaries=tuple(summaries),
        slices=tuple(_slices(measured, used, numbers, names, label_names)),
        masked=None if masks is None else _masked(explainer, masks, label_names, others),
    )
    return report, measured


def true_label(path: str | Path, labels: Sequence[str]) -> int | None:
    """Return the index of the label that the folder of an image is named by, or None.

    Example:
        >>> true_label("photos/Boat/1.jpg", ["dog", "boat"])
        1
    """
    folder = Path(path).parent.name.casefold().replace("_", " ")
    known = [label.casefold() for label in labels]
    return known.index(folder) if folder in known else None


def _slices(
    measured: Sequence[ImageRegions],
    paths: Sequence[str],
    words: Any,
    names: Sequence[str],
    labels: Sequence[str],
) -> list[Slice]:
    truth = [true_label(path, labels) for path in paths]
    where = [index for index, label in enumerate(truth) if label is not None]
    if not where:
        return []
    slices = error_slices(
        np.stack([measured[index].image for index in where]),
        np.array([truth[index] for index in where], dtype=np.int64),
        np.array([int(measured[index].evidence.argmax()) for index in where], dtype=np.int64),
        words,
        names,
        labels=len(labels),
    )
    return [
        Slice(
            **{**vars(error_slice), "images": tuple(where[index] for index in error_slice.images)}
        )
        for error_slice in slices
    ]


def _masked(
    explainer: Explainer, masks: Dataset, labels: Sequence[str], others: Sequence[str]
) -> MaskedSummary | None:
    names = tuple(masks.names)
    taken = {name.casefold() for name in names}
    words = (*names, *(word for word in others if word.casefold() not in taken))
    images = MaskedImages(explainer, explainer.encode(words).labels, words, labels=len(names))
    outcomes: list[MaskedOutcome] = []
    for index in range(len(masks)):
        outcome = images.measure(masks[index], index)
        if outcome is not None:
            outcomes.append(outcome)
    return summarise(outcomes)


def _stored(journal: Journal | None, index: int) -> bytes | None:
    try:
        return None if journal is None else journal.read(index)
    except DamagedPartError:
        return None


def _regions_from(content: bytes) -> ImageRegions:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
    values["best_word"] = int(values["best_word"])
    return ImageRegions(**values)


def _identity(
    explainer: Explainer,
    images: Sequence[str | Path],
    names: Sequence[str],
    labels: int,
    regions: int,
) -> dict[str, str]:
    digest = sha256()
    for path in images:
        try:
            size = Path(path).stat().st_size
        except OSError:
            size = -1
        digest.update(f"{path}\0{size}\0".encode("utf-8", "surrogateescape"))
    return {
        "images": digest.hexdigest()[:16],
        "backbone": f"{explainer.backbone.name} {explainer.backbone.fingerprint()}",
        "words": json.dumps([labels, list(names)]),
        "settings": repr((regions, explainer.templates, explainer.framing)),
    }


def _require_sklearn() -> None:
    from importlib.util import find_spec

    from clip_surgery.errors import MissingExtraError

    if find_spec("sklearn") is None:
        raise MissingExtraError.of("audit", "scikit-learn")
