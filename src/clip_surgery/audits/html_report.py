"""The report of an audit as one HTML file that needs no server, no script and no other file.

All names and texts are escaped, and the page allows no script.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clip_surgery.audits.findings import FLAGGED_SHARE, Finding
from clip_surgery.audits.regions import ImageRegions
from clip_surgery.audits.run import AuditReport
from clip_surgery.audits.slices import Slice
from clip_surgery.audits.with_masks import MaskedSummary
from clip_surgery.errors import ClipSurgeryError
from clip_surgery.evaluation.intervals import Interval
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.inputs.names import printable

MOST_FINDINGS = 20
LEAST_SHARE = 0.05
"""Findings with a smaller share are in the JSON only."""
THUMBNAIL = 220
"""Longer side of an example in pixels."""
_DIMMED = 0.3
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"


def html_report(explainer: Explainer, report: AuditReport, regions: Sequence[ImageRegions]) -> str:
    """Return the page of a report, with examples of its first findings.

    Args:
        explainer: the model, which knows how images are framed.
        report: the report.
        regions: the regions of the images of the report.
    """
    flagged = sum(finding.flagged for finding in report.findings)
    large = [finding for finding in report.findings if finding.share.mean >= LEAST_SHARE]
    shown = large[: max(MOST_FINDINGS, flagged)]
    cards = [_finding(explainer, report, regions, finding) for finding in shown]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    count = "1 finding is" if flagged == 1 else f"{flagged or 'No'} findings are"
    if flagged == 0:
        count = "No finding is"
    images = _images(len(report.images))
    skipped = f", {_images(len(report.skipped))} skipped" if report.skipped else ""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Audit: {images}</title><style>{style}</style></head>\n<body>"
        f"<header><h1>What are the labels read from?</h1>"
        f"<p class=soft>{images}{skipped}, {len(report.labels)} labels, {_plain(report.model)}. "
        f"{count} flagged.</p></header>\n<main>"
        "<h2>Findings</h2><p class=soft>Each image was cut into regions of similar patches, and "
        "each region was replaced by the mean colour. The share is the part of a label's "
        "evidence (log-odds) that is lost without the regions that look like the word, in the "
        "images that are read as the label. The bracket is the 95% interval. A finding is "
        f"flagged if the whole interval is above {FLAGGED_SHARE:.0%}. In the examples, these "
        f"regions are bright. Findings below {LEAST_SHARE:.0%} are in the JSON file only.</p>\n"
        f"{''.join(cards) or '<p>No label is read from regions that look like another word.</p>'}"
        f"{_masks(report.masked)}{_slices(explainer, report)}{_labels(report)}{_skipped(report)}"
        "</main></body></html>\n"
    )


def _finding(
    explainer: Explainer,
    report: AuditReport,
    regions: Sequence[ImageRegions],
    finding: Finding,
) -> str:
    flag = " <span class=flag>flagged</span>" if finding.flagged else ""
    figures = "".join(
        _figure(explainer, report.images[index], regions[index], chosen)
        for index, chosen in zip(finding.examples, finding.regions, strict=True)
    )
    return (
        f"<article><header><h3>“{_plain(finding.label)}” is read from “{_plain(finding.word)}”"
        f"{flag}</h3><span class=soft>{_images(finding.share.count)}</span></header>"
        f"{_scale(finding.share)}"
        f"<small>{_percent(finding.share)} of the evidence where the word is seen; "
        f"{_percent(finding.weight)} over all images read as the label; "
        f"loss of log-odds {_number(finding.loss)}</small>"
        f"<div class=examples>{figures}</div></article>\n"
    )


def _scale(interval: Interval) -> str:
    low, high = interval.low, interval.high
    bracket = ""
    if low is not None and high is not None:
        bracket = f'<b style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></b>'
    return f'<div class=scale><i style="width:{100 * interval.mean:.1f}%"></i>{bracket}</div>'


def _figure(
    explainer: Explainer, path: str, regions: ImageRegions | None, chosen: Sequence[int]
) -> str:
    """An image in which the chosen regions are bright; only its name if it cannot be read."""
    name = _plain(Path(path).name)
    try:
        image = read_image(path)
    except ClipSurgeryError:
        return f"<figure><figcaption>{name} (cannot be read)</figcaption></figure>"
    thumbnail = image.image.copy()
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    if min(thumbnail.size) < THUMBNAIL // 2:
        factor = THUMBNAIL / max(thumbnail.size)
        size = [max(1, round(side * factor)) for side in thumbnail.size]
        thumbnail = thumbnail.resize((size[0], size[1]), Image.Resampling.BICUBIC)
    if regions is not None:
        is_chosen = torch.from_numpy(np.isin(regions.regions, list(chosen)).astype(np.float32))
        bright = explainer.frame(image).restore_map(is_chosen).clamp(0, 1).numpy()
        alpha = Image.fromarray(np.rint(255 * (_DIMMED + (1 - _DIMMED) * bright)).astype(np.uint8))
        alpha = alpha.resize(thumbnail.size, Image.Resampling.BILINEAR)
        dark = Image.new("RGB", thumbnail.size, (24, 26, 30))
        thumbnail = Image.composite(thumbnail.convert("RGB"), dark, alpha)
    file = io.BytesIO()
    thumbnail.convert("RGB").save(file, "JPEG", quality=82)
    link = f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
    return f'<figure><img alt="{name}" src="{link}"><figcaption>{name}</figcaption></figure>'


def _masks(summary: MaskedSummary | None) -> str:
    if summary is None:
        return ""
    rows = [("right labels", _percent(summary.accuracy), "of the images as they are")]
    if summary.gap is not None:
        rows.append(
            (
                "background gap",
                _percent(summary.gap),
                "accuracy on the background of the same label minus that of another label",
            )
        )
    if summary.worst_group is not None:
        label, background, accuracy = summary.worst_group
        rows.append(("worst group", _percent(accuracy), f"{label} with background {background}"))
    rows.append(
        (
            "foreground sensitivity",
            f"{summary.foreground_sensitivity:+.2f}",
            "from -1 (the background decides) to 1 (the object decides)",
        )
    )
    cells = "".join(
        f"<tr><td>{name}</td><td class=number>{value}</td><td class=soft>{_plain(about)}</td></tr>"
        for name, value, about in rows
    )
    return (
        f"<h2>With masks</h2><p class=soft>{_images(summary.images)} with masks.</p>"
        f"<div class=wide><table>{cells}</table></div>\n"
    )


def _slices(explainer: Explainer, report: AuditReport) -> str:
    if not report.slices:
        return ""
    return "<h2>Slices of errors</h2>" + "".join(
        _slice(explainer, report, error_slice) for error_slice in report.slices
    )


def _slice(explainer: Explainer, report: AuditReport, error_slice: Slice) -> str:
    figures = "".join(
        _figure(explainer, report.images[i], None, ()) for i in error_slice.images[:6]
    )
    return (
        f"<article><header><h3>“{_plain(error_slice.name)}”: {_plain(error_slice.truth)} read as "
        f"{_plain(error_slice.prediction)}</h3>"
        f"<span class=soft>{_images(len(error_slice.images))}</span></header>"
        f"<small>{_percent(error_slice.accuracy)} of the labels are right.</small>"
        f"<div class=examples>{figures}</div></article>\n"
    )


def _labels(report: AuditReport) -> str:
    rows = "".join(
        f"<tr><td>{_plain(summary.label)}</td><td class=number>{summary.images}</td>"
        f"<td class=number>{_percent(summary.label_share)}</td></tr>"
        for summary in report.summaries
    )
    return (
        "<h2>Labels</h2><div class=wide><table><tr><th>label</th><th class=number>images read as it"
        "</th><th class=number>evidence in its own regions</th></tr>"
        f"{rows}</table></div>\n"
    )


def _skipped(report: AuditReport) -> str:
    if not report.skipped:
        return ""
    lines = "".join(f"<p>{_plain(message)}</p>" for message in report.skipped)
    return f"<details><summary>{_images(len(report.skipped))} skipped</summary>{lines}</details>\n"


def _percent(interval: Interval | None) -> str:
    """A share in per cent with its interval, or "-" without a share."""
    if interval is None:
        return "-"
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.0%}"
    return f"{interval.mean:.0%} ({interval.low:.0%} to {interval.high:.0%})"


def _number(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.1f}"
    return f"{interval.mean:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


def _plain(text: str) -> str:
    """HTML that shows the text as it is, with control characters escaped."""
    return escape(printable(text))
