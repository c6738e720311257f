"""The results of `gpu.py` as a Markdown table, and the number of cells that meet the targets."""

from __future__ import annotations

from typing import Any

MOST_RATIO = 1.05
LEAST_GAIN = 4.0
"""Targets: maximum ratio to encode_image, and minimum speed-up over the published structure."""

HEAD = (
    "| model | px | batch | type | mode | encode_image ms | two paths ms | ms per image | images/s "
    "| two / plain | MiB plain | MiB two | published ms | published MiB | gain |\n"
    + "|---" * 15
    + "|"
)


def report(rows: list[dict[str, Any]]) -> str:
    """Return a table of milliseconds per batch, followed by one sentence per target."""
    baseline = {
        (row["model"], row["px"], row["batch"]): row["published_ms"]
        for row in rows
        if "published_ms" in row
    }
    lines = [HEAD]
    ratios, gains = [], []
    for row in rows:
        where = f"| {row['model']} | {row['px']} | {row['batch']} | {row['type']} | {row['mode']} |"
        if "error" in row:
            lines.append(f"{where} {row['error']} |" + " - |" * 9)
            continue
        slow = baseline.get((row["model"], row["px"], row["batch"]))
        gain = None if slow is None else slow / row["two_ms"]
        ratios.append(row["two_by_plain"])
        if gain is not None and (row["type"], row["mode"]) == ("bf16", "compiled"):
            gains.append(gain)
        cells = (
            f"{row['plain_ms']:.3f}",
            f"{row['two_ms']:.3f}",
            f"{row['two_ms'] / row['batch']:.3f}",
            f"{1000 * row['batch'] / row['two_ms']:.1f}",
            f"{row['two_by_plain']:.3f}",
            *(_or_dash(row.get(key), ".0f") for key in ("plain_mib", "two_mib")),
            row.get("published_error") or _or_dash(row.get("published_ms"), ".3f"),
            _or_dash(row.get("published_mib"), ".0f"),
            _or_dash(gain, ".2f"),
        )
        lines.append(f"{where} " + " | ".join(cells) + " |")
    within = sum(ratio <= MOST_RATIO for ratio in ratios)
    lines += [
        "",
        f"Two paths within {MOST_RATIO} of encode_image: {within} of {len(ratios)} cells.",
    ]
    if gains:
        enough = sum(gain >= LEAST_GAIN for gain in gains)
        lines.append(
            f"bf16 compiled at least {LEAST_GAIN:.0f} times the published structure's fp32 eager: "
            f"{enough} of {len(gains)} cells."
        )
    differ = [row["differ"] for row in rows if "differ" in row]
    if differ:
        lines.append(f"Largest difference from the published structure: {max(differ):.1e}.")
    return "\n".join(lines)


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
