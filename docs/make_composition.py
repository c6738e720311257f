"""Write docs/composition.md and its plot from the numbers in docs/composition.json.

The numbers are those of `benchmarks/composition.py`. Run `python docs/make_composition.py`.
"""

# ruff: noqa: E501  lines of the page are as long as those of other pages

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
COLUMNS = (
    "method",
    "px",
    "refinement",
    "threshold",
    "min_presence",
    "names",
    "mIoU",
    "objects",
    "accuracy",
)
Entry = dict[str, Any]


def main() -> None:
    record = json.loads((DOCS / "composition.json").read_text(encoding="utf-8"))
    (DOCS / "composition.md").write_text(page(record), encoding="utf-8")
    draw(record, DOCS / "pictures/composition.png")


def page(record: dict[str, Any]) -> str:
    """Return the text of the page in Markdown."""
    entries: list[Entry] = list(record["results"].values())
    methods = best_first(entry for entry in entries if entry["stage"] == "methods")
    pieces = best_first(entry for entry in entries if entry["stage"] == "pieces")
    search = [entry for entry in entries if entry["stage"] == "search"]
    rounds = sorted({entry["scenes"] for entry in search})
    held_out = best_first(entry for entry in entries if entry["stage"] == "held out")
    base = first(held_out, refinement="none", names="present", threshold=0.6, min_presence=None)
    fast = first(
        held_out, method=base["method"], refinement="pamr", names="present", min_presence=None
    )
    fast_pruned = first(
        held_out, method=base["method"], refinement="pamr", names="present", min_presence=0.1
    )
    everything = first(
        held_out, method=base["method"], refinement="pamr", names="all", min_presence=None
    )
    pruned = first(
        held_out, method=base["method"], refinement="pamr", names="all", min_presence=0.1
    )
    regained = (pruned["mIoU"] - everything["mIoU"]) / (fast["mIoU"] - everything["mIoU"])
    return f"""# Composition of segmentation on the demo model

This page shows what each piece of training-free segmentation adds on the bundled demo model, whose scenes are generated from drawn objects. **What helps
a drawn world need not help photographs:** drawn objects have edges in colour that photographs lack, and the methods that change the last block only
were made for trained models of full size. Methods keep their default settings, but for `gem(sharpness=8)` and `clip_surgery(depth=6)`; the study only chose the preset `scenes`, and on the
first edition of the model the threshold and the refinement of the [preset](guides/segment.md#presets) `fast`.

`python docs/make_composition.py` writes this page from `docs/composition.json`, which `benchmarks/composition.py` measured on {record["machine"]}. A
scene has 96 px, its mask is exact, background counts as a class, and a pixel is background where the min-maxed map of its best name is below the threshold.
"names" says which names compete: those of the objects in the scene, or all 64. Values are in per cent.

![mIoU of methods, pieces and combinations](pictures/composition.png)

## The result

{held_out[0]["scenes"]} scenes that no choice has used (seed {held_out[0]["seed"]:,}):

- Method, refinement and threshold of the preset `fast` (`{fast["method"]}`, {fast["refinement"]}, {fast["threshold"]}) reach an mIoU of {fast["mIoU"]:.1f} at the
  size of the model, and {fast_pruned["mIoU"]:.1f} with its lowest presence of 0.1; without refinement and with the threshold 0.6 it is {base["mIoU"]:.1f}.
- If all 64 names compete, it is {everything["mIoU"]:.1f}. Names that are less likely than 0.1 to be in the image do not compete in the preset, which gives
  {pruned["mIoU"]:.1f}: {100 * regained:.0f} % of the loss is won back.
{best_combination(held_out, search, fast)}

{table(held_out)}

## Every method

{methods[0]["scenes"]} scenes of seed {methods[0]["seed"]:,}, no refinement, names given, the better of two thresholds. Each method was also measured with inputs of 192 and 288 px:

{table(best_of_thresholds(methods))}

## One piece at a time

On the best method above, the same scenes. Rows with all names or a lowest presence show which names compete:

{table(pieces)}

## Combinations

Successive halving: all combinations of the {len({entry["method"] for entry in search})} best methods with sizes, refinements and thresholds on {rounds[0]} scenes; of
each round a third goes on to three times as many scenes. The best ten of each round:

{(chr(10) * 2).join(f"{count} scenes:{chr(10) * 2}{table(best_first(e for e in search if e['scenes'] == count)[:10])}" for count in rounds)}

The first round has few scenes, so that differences of one or two points between its rows are noise. {size_and_refinement(pieces, methods, search)}
"""


def best_combination(held_out: Sequence[Entry], search: Sequence[Entry], fast: Entry) -> str:
    """What the best combination of the search reaches on scenes that no choice has used."""
    scenes = max(entry["scenes"] for entry in search)
    found = best_first(entry for entry in search if entry["scenes"] == scenes)[0]
    settings = ("method", "size", "refinement", "threshold", "min_presence", "names")
    confirmed = first(held_out, **{name: found[name] for name in settings})
    return (
        f"- The best combination of the search, `{found['method']}` at {found['size']} px with {found['refinement']} "
        f"and threshold {found['threshold']}, reaches {confirmed['mIoU']:.1f}\n"
        f"  ({found['mIoU']:.1f} on the {scenes} scenes of its last round), which is {confirmed['mIoU'] - fast['mIoU']:.1f} "
        "points above `fast`. Without a lowest presence, it is the preset `scenes`. `fast` keeps the default method, because the sharpness of GEM was\n"
        "  chosen for this model, whose tokens are short; on other models it would have to be chosen again."
    )


def size_and_refinement(
    pieces: Sequence[Entry], methods: Sequence[Entry], search: Sequence[Entry]
) -> str:
    """What the refinement and a larger input add, on the best method and in the last round."""
    best = pieces[0]
    alone = {
        "method": best["method"],
        "names": "present",
        "min_presence": None,
        "threshold": best["threshold"],
    }
    base = first(methods, refinement="none", size=96, **alone)
    refined = best_first(e for e in pieces if e["refinement"] != "none" and e["size"] == 96)[0]
    larger = {size: first(pieces, refinement="none", size=size, **alone) for size in (192, 288)}
    sizes = (96, 192)
    scenes = max(  # of the last round that has both sizes
        count
        for count in {entry["scenes"] for entry in search}
        if {*sizes} <= {entry["size"] for entry in search if entry["scenes"] == count}
    )
    compared = best_first(entry for entry in search if entry["scenes"] == scenes)
    at = {size: first(compared, size=size)["mIoU"] for size in sizes}
    change = {size: entry["mIoU"] - base["mIoU"] for size, entry in larger.items()}
    return (
        f"On the best method, the best refinement adds {refined['mIoU'] - base['mIoU']:.1f} points. Without refinement, an "
        f"input of 192 px changes the mIoU by {change[192]:+.1f} points and one of 288 px by\n"
        f"{change[288]:+.1f}. With refinement, the best combination at 192 px is at {at[192]:.1f} and that at 96 px at "
        f"{at[96]:.1f}, on the {scenes} scenes of the last round that has both sizes."
    )


def best_first(entries: Any) -> list[Entry]:
    """The entries by their mIoU, the best first."""
    return sorted(entries, key=lambda entry: -entry["mIoU"])


def first(entries: Sequence[Entry], **fields: object) -> Entry:
    """The first entry with these values."""
    return next(e for e in entries if all(e[name] == value for name, value in fields.items()))


def best_of_thresholds(entries: Sequence[Entry]) -> list[Entry]:
    """The better threshold of each method and size, from entries with the best first."""
    found: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        found.setdefault((entry["method"], entry["size"]), entry)
    return list(found.values())


def table(entries: Sequence[Entry]) -> str:
    """A Markdown table of entries."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for entry in entries:
        presence = "-" if entry["min_presence"] is None else f"{entry['min_presence']:g}"
        cells = [
            f"`{entry['method']}`", str(entry["size"]), entry["refinement"],
            f"{entry['threshold']:g}", presence, entry["names"],
            *(f"{entry[name]:.1f}" for name in COLUMNS[6:]),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(record: dict[str, Any], path: Path) -> None:
    """Plot the mIoU of methods, of pieces and of the held-out compositions as bars."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    entries = list(record["results"].values())
    methods = best_of_thresholds(
        best_first(e for e in entries if e["stage"] == "methods" and e["size"] == 96)
    )
    pieces = [
        e for e in entries
        if e["stage"] == "pieces" and e["names"] == "present" and e["min_presence"] is None
    ]  # fmt: skip
    held_out = [e for e in entries if e["stage"] == "held out"]
    panels = (
        ("methods, 96 px, no refinement", [(e["method"], e["mIoU"]) for e in methods]),
        ("one piece on the best method", [(piece_label(e), e["mIoU"]) for e in best_first(pieces)]),
        ("held out", [(held_out_label(e), e["mIoU"]) for e in best_first(held_out)]),
    )
    plt.rcParams.update({"font.size": 8, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(7.5, 0.2 * sum(len(rows) for _, rows in panels) + 2),
        height_ratios=[len(rows) for _, rows in panels], layout="constrained", sharex=True,
    )  # fmt: skip
    for axis, (title, rows) in zip(axes, panels, strict=True):
        names, values = zip(*reversed(rows), strict=True)
        bars = axis.barh(range(len(rows)), values, color="#00796b", height=0.7)
        axis.bar_label(bars, fmt="%.1f", padding=2)
        axis.set_yticks(range(len(rows)), names)
        axis.set_title(title, loc="left")
    axes[-1].set_xlabel("mIoU, %")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def piece_label(entry: Entry) -> str:
    return f"{entry['refinement']}, threshold {entry['threshold']:g}, {entry['size']} px" + (
        ", repaired" if "repair" in entry["method"] else ""
    )


def held_out_label(entry: Entry) -> str:
    presence = "" if entry["min_presence"] is None else f", presence {entry['min_presence']:g}"
    names = "names given" if entry["names"] == "present" else "all names"
    method = entry["method"].replace("(redundancy=none)", "")
    refinement = f"{entry['refinement']}, threshold {entry['threshold']:g}"
    return f"{method}, {entry['size']} px, {refinement}, {names}{presence}"


if __name__ == "__main__":
    main()
