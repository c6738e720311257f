"""The page docs/findings.md: tables, plots and sentences made from docs/findings.json.

The section on training is fixed text; its numbers come from training/stacked.json, which
training/README.md explains, and from training/study.json.
"""

# ruff: noqa: E501  lines of the page are as long as those of other pages

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

SHOWN = ("mSC", "opposite", "mIoU best", "AP", "AUC", "pointing", "noise share")
PEAK = "presence AUROC peak"
COLOURS = {
    "mIoU best": "#00796b", "pointing": "#d84315", "AP": "#5e35b1", "mSC": "#546e7a",
    PEAK: "#c2185b",
}  # fmt: skip

Values = Mapping[str, Mapping[str, float]]


def write_page(record: Mapping[str, Any], docs: Path) -> None:
    """Write findings.md and its plots into the folder of the documentation."""
    studies = record["studies"]
    for name, draw in (
        ("depth", draw_depth), ("temperature", draw_temperature),
        ("sizes", draw_sizes), ("all-methods", draw_methods),
    ):  # fmt: skip
        plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
        figure = draw(studies)
        figure.savefig(docs / f"pictures/findings-{name}.png", dpi=110, bbox_inches="tight")
        plt.close(figure)
    (docs / "findings.md").write_text(page(record), encoding="utf-8")


def page(record: Mapping[str, Any]) -> str:
    """Return the text of the page in Markdown."""
    studies = record["studies"]
    both = studies["phenomena"]
    plain, surgery = both["values"]["similarity"], both["values"]["clip_surgery"]
    ablation = studies["ablation"]["values"]
    architecture = ablation["clip_surgery(redundancy=none)"]
    full = ablation["clip_surgery"]
    return f"""# Findings on the demo model

This page shows what each part of CLIP Surgery changes, measured on the bundled demo model. The model is small, and its scenes are generated from
drawn objects. For these scenes the object at every pixel is known exactly. The numbers describe the effect on this one model; they are not a ranking of
published methods.

`python docs/make_findings.py` writes this page from the numbers in `docs/findings.json`, which were measured on {record["machine"]}. The
scenes are held out from training (seed 2,000,003). All 64 nouns are given as texts, with 85 templates unless a table says otherwise. Values are in per
cent: for each class the mean over the images that contain it, then the mean over classes. The columns are explained under
[metrics](guides/evaluate.md#metrics). The protocol gives no reference words, so `clip_surgery` stands for
`clip_surgery(redundancy=labels)`.

## The two problems

{both["images"]} scenes.

{table({"CLIP's own map": plain, "CLIP Surgery": surgery}, [*SHOWN, PEAK])}

**Opposite visualisation.** {plain["opposite"]:.0f} % of CLIP's own maps are lower on the object than elsewhere, and {surgery["opposite"]:.0f} % of the maps of CLIP Surgery.
The attention shows the cause. Of the attention of an object's patches, {surgery["foreground attention q-k"]:.0f} % stays on the object with query-key attention (q-k),
and {surgery["foreground attention v-v"]:.0f} % with value-value attention (v-v). The objects cover {surgery["foreground attention chance"]:.0f} % of the patches.

**Noise.** The noise share is the part of the brightest tenth of a map that is also among the brightest tenth of the maps of absent words; 10 % is
expected by chance. It is {plain["noise share"]:.0f} % for CLIP's own map, {architecture["noise share"]:.0f} % after architecture surgery alone, and {full["noise share"]:.0f} % after both surgeries. On this model, the noise
that feature surgery removes is therefore introduced by architecture surgery: the maps of absent words become bright on the objects that are
in the image.

The same maps, used for tasks:

{task_table(plain, surgery)}

Deletion is the area under the curve of the score while the patches with the highest values are removed first (lower is better). Insertion is
the same while they are added first (higher is better).

## Opposite maps and training

Why are CLIP's own maps opposite? 70 models were trained from scratch on a GPU, each for as long as the first edition of the demo model, with the losses,
texts and seeds varied (`training/README.md` has the tables). The mSC is that of plain CLIP's maps on 100 scenes of seed 1,000,003 with one prompt.

![Contrast of plain CLIP's maps during the training, 70 runs](pictures/opposite-training.png)

- **They are opposite early in the training, and then less and less.** After 48,000 scenes, plain CLIP's maps are opposite in all 70 runs (mSC -16.9
  with a standard deviation of 5.8). After 384,000 scenes, 74 % of the runs are below 0, and the mean is -6.4. The first edition was trained on
  468,096 scenes and has -5.9; an earlier trial with 122,000 scenes had -31.5.
- **A loss on labels makes them less opposite.** Models that are trained on captions alone, as published CLIPs are, end at -12.5 (standard deviation
  9.1, 14 runs), those with a label loss at -4.9 (8.7, 56 runs). Over all runs, with the other settings as further variables, the difference is 9.0 ±
  6.6 points.
- No effect of other settings could be shown: which captions are negatives, the templates, empty captions, and the form of the label loss.
- Two runs that differ in their random patches only differ by 7 points (standard deviation, 18 pairs). A comparison of single runs says nothing.
- The number of patches and the learning rate change with the stage in all of these runs, so their effects are not separated from it.
- In the first edition, the maps are most opposite in the first blocks. If the patches after a block are passed through the final normalisation and
  projection, the mSC is -23.9 after block 2 (89 % opposite) and -5.9 after block 8. For absent words at the same objects it is -1.7 and -4.2, so
  the effect after block 2 is specific to the words. Every feed-forward network lowers the mSC, and the attention of blocks 2 to 8 raises it.
- **What the first blocks write is dissimilar to the word of the object.** After block 2, the cosine of an object's patches with its own word is 0.12
  below the mean over all words. If blocks 3 to 8 start fresh and the rest from the weights of the first edition, plain CLIP's maps are
  strongly opposite after 24,000 scenes of training (mSC -29 to -33 in three runs), and the maps of CLIP Surgery already have 86 to 92 % of their IoU.
- **The shipped model, the second edition, was trained in this way.** Two blocks of the first edition were kept and the others trained anew; then four
  blocks of the result were kept and the others trained anew once more. In the first table, its plain maps have an mSC of {plain["mSC"]:.1f}, and {plain["opposite"]:.0f} % of them are opposite.

## What each surgery does

{studies["ablation"]["images"]} scenes.

{table(ablation, [*SHOWN, PEAK])}

Architecture surgery (`redundancy=none`) makes most of the difference. Feature surgery improves the separation of present and absent words by
the highest patch (presence AUROC {architecture[PEAK]:.1f} → {full[PEAK]:.1f}); the IoU changes from {architecture["mIoU best"]:.1f} to {full["mIoU best"]:.1f}. Feature surgery alone, on CLIP's own map, changes
little (mSC from {ablation["similarity"]["mSC"]:.1f} to {ablation["similarity(redundancy=labels)"]["mSC"]:.1f}, AP from {ablation["similarity"]["AP"]:.1f} to {ablation["similarity(redundancy=labels)"]["AP"]:.1f}): the errors of that map are not what the words have in
common. Its IoU of {ablation["similarity"]["mIoU best"]:.1f} is that of a map that marks all pixels.

## Depth: the number of blocks with a second path

The model has 8 blocks. The default depth is 6 for towers of at least 12 blocks, and all blocks for smaller ones, such as this one
([decision](decisions/0019-depth-of-small-towers.md)). A second path that starts after the first blocks starts with what they wrote.

![Numbers by depth](pictures/findings-depth.png)

{table(by_setting(studies["depth"]["values"], with_redundancy=True), [*SHOWN, PEAK], first="depth")}

## Temperature of feature surgery

The default is 2.

![Numbers by temperature](pictures/findings-temperature.png)

{table(by_setting(studies["temperature"]["values"]), [*SHOWN, PEAK], first="temperature")}

## Number of prompt templates

{table(template_rows(studies), [*SHOWN, PEAK], first="templates, method")}

## Size of the image

![Numbers by size](pictures/findings-sizes.png)

{table(size_rows(studies), [*SHOWN, PEAK], first="px, method")}

The model was trained with images of 96 px. For other sizes, its position embeddings are resized.

## All methods

![All methods](pictures/findings-all-methods.png)

{table(all_methods(studies), [*SHOWN, PEAK, "ms per image"])}

Times are for 64 words on one thread of a machine that was busy with other programs, so that only their ratios mean something. `gscorecam` was evaluated on {studies["methods, slow"]["images"]} scenes, the other methods on {studies["methods"]["images"]}. All methods have their
default settings. These are the published ones, but for the depth of `clip_surgery` and `gem` (all 8 blocks). They were chosen for published models and
do not suit every model, as GEM shows.

## Temperature of GEM

GEM first moves queries, keys and values towards the centres of their clusters. Its temperature is proportional to the norms of the tokens,
which are small in this narrow tower. With the published temperature (sharpness 1), all tokens move to nearly the same point, so the map
hardly distinguishes patches. The setting `sharpness` multiplies the temperature.

{table(by_setting(studies["gem"]["values"]), [*SHOWN, PEAK], first="sharpness")}

## Segmentation

[Composition of segmentation](composition.md) has every method, refinement and combination on these scenes.
{trust_section()}"""


def trust_section() -> str:
    """Return the section on checks of trust from docs/trust.json, which make_trust.py writes."""
    studies = json.loads((Path(__file__).parent / "trust.json").read_text("utf-8"))["studies"]
    pair, methods = studies["pair"], studies["methods"]
    return f"""
## Can the maps be believed?

`python docs/make_trust.py` measures the tables of this section; the checks are explained in [the guide](guides/trust.md). ↑ means that a higher
value is better, ↓ that a lower one is. Values are means over scenes with half of their 95 % interval; one text of each scene is checked.

{pair["images"]} scenes:

{trust_table(pair["values"])}

![The checks of two methods and of random maps](pictures/trust.png)

By ROAD, insertion minus deletion, sensitivity-n and the mosaic, `clip_surgery` is better than `similarity` and than random maps, and the intervals are
apart. By the first three of these, CLIP's own maps are *worse* than random ones: they are high where the score does not come from, as opposite maps
are. By mirroring, they are a little better than those of `clip_surgery`. By the first three columns, no method can be better than random maps, which
depend on nothing; `similarity` and `clip_surgery` both change with the weights and the text.

All methods, over {methods["images"]} scenes. These are too few to rank methods: most intervals overlap. What the table does show is that `rollout` fails
the first three checks. It reads neither the projection nor the text, so its maps are the same for any text.

{trust_table(methods["values"])}
"""


def trust_table(values: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return a Markdown table with a row for each method."""
    titles = {
        "randomisation": "randomised weights ↓",
        "gibberish": "gibberish ↓",
        "absent": "absent words ↓",
        "road": "ROAD ↑",
        "insertion_deletion": "insertion - deletion ↑",
        "sensitivity": "sensitivity-n ↑",
        "mosaic": "mosaic ↑",
        "flip": "flip ↑",
    }
    lines = [f"| method | {' | '.join(titles.values())} |", "|---" * (len(titles) + 1) + "|"]
    for method, row in values.items():
        cells = [
            f"{row[check]['mean']:.2f} ± {(row[check]['high'] - row[check]['low']) / 2:.2f}"
            if check in row
            else "-"
            for check in titles
        ]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table(rows: Values, columns: Sequence[str], first: str = "method") -> str:
    """Return a Markdown table with those of the columns that at least one row has."""
    shown = [name for name in columns if any(name in values for values in rows.values())]
    lines = [f"| {first} | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for row, values in rows.items():
        cells = [f"{values[name]:.1f}" if name in values else "-" for name in shown]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def task_table(plain: Mapping[str, float], surgery: Mapping[str, float]) -> str:
    """Return a Markdown table of the numbers of tasks that use the maps."""
    names = {
        "segmentation mIoU": "segmentation mIoU, names given, with background",
        "positives right": "points on the object, published rule",
        "tags mAP surgery": "tags mAP, feature surgery",
        "tags mAP softmax": "tags mAP, softmax",
        "deletion": "deletion",
        "insertion": "insertion",
    }
    lines = ["| | CLIP's own map | CLIP Surgery |", "|---|---|---|"]
    for key, label in names.items():
        if key in plain and key in surgery:
            lines.append(f"| {label} | {plain[key]:.1f} | {surgery[key]:.1f} |")
    return "\n".join(lines)


def by_setting(values: Values, *, with_redundancy: bool = False) -> Values:
    """Return the rows under the value of their setting, as "3" or "3, architecture only"."""
    rows = {}
    for name, numbers in values.items():
        inside = name.partition("(")[2].rstrip(")")
        setting, *others = (part.partition("=")[2] for part in inside.split(","))
        rows[f"{setting}, architecture only" if others and with_redundancy else setting] = numbers
    return rows


def template_rows(studies: Mapping[str, Any]) -> Values:
    """Return the rows of all template sets, as "85, clip_surgery"."""
    counts = {"photo": "1", "small": "7", "clip_surgery": "85"}
    return {
        f"{count}, {method}": values
        for name, count in counts.items()
        for method, values in studies[f"templates {name}"]["values"].items()
    }


def size_rows(studies: Mapping[str, Any]) -> Values:
    """Return the rows of all sizes, as "96, clip_surgery"."""
    return {
        f"{name.split()[1]}, {method}": values
        for name, study in studies.items()
        if name.startswith("size ")
        for method, values in study["values"].items()
    }


def all_methods(studies: Mapping[str, Any]) -> Values:
    """Return the rows of all methods, sorted by their best IoU in descending order."""
    rows = {**studies["methods"]["values"], **studies["methods, slow"]["values"]}
    return dict(sorted(rows.items(), key=lambda row: -row[1]["mIoU best"]))


def draw_depth(studies: Mapping[str, Any]) -> Any:
    """Plot the metrics by depth, with and without feature surgery."""
    return curves(by_setting(studies["depth"]["values"], with_redundancy=True), "depth")


def draw_temperature(studies: Mapping[str, Any]) -> Any:
    """Plot the metrics by temperature."""
    return curves(by_setting(studies["temperature"]["values"]), "temperature", log=True)


def draw_sizes(studies: Mapping[str, Any]) -> Any:
    """Plot the metrics by image size; dashed lines are CLIP's own map."""
    rows = {
        name.replace(", clip_surgery", "").replace("similarity", "architecture only"): values
        for name, values in size_rows(studies).items()
    }
    return curves(rows, "short side, px", dashed="CLIP's own map")


def curves(
    rows: Values, label: str, *, log: bool = False, dashed: str = "architecture only"
) -> Any:
    """Plot one line per metric; rows that end in "architecture only" have dashed lines."""
    figure, axes = plt.subplots(figsize=(7, 3.2))
    for name, colour in COLOURS.items():
        for is_dashed, style in ((False, "-o"), (True, "--")):
            points = sorted(
                (float(row.split(",")[0]), values[name])
                for row, values in rows.items()
                if name in values and row.endswith("architecture only") == is_dashed
            )
            if points:
                legend = None if is_dashed else name
                axes.plot(
                    *zip(*points, strict=True), style, color=colour, label=legend, markersize=3
                )
    if any(name.endswith("architecture only") for name in rows):
        axes.plot([], [], "--", color="gray", label=dashed)
    if log:
        axes.set_xscale("log", base=2)
    axes.set_xlabel(label)
    axes.set_ylabel("%")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def draw_methods(studies: Mapping[str, Any]) -> Any:
    """Plot the IoU and pointing of every method as bars."""
    rows = dict(reversed(all_methods(studies).items()))
    figure, axes = plt.subplots(figsize=(7, 0.36 * len(rows) + 0.8))
    for shift, name in ((0.2, "mIoU best"), (-0.2, "pointing")):
        axes.barh(
            [index + shift for index in range(len(rows))],
            [values[name] for values in rows.values()],
            height=0.36, color=COLOURS[name], label=name,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_xlabel("%")
    axes.legend(loc="lower right", frameon=False)
    return figure
