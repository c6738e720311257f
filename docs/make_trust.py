"""Check whether the maps of all methods can be believed, and write docs/trust.json.

    python docs/make_trust.py                     measure; an interrupted run continues
    python docs/make_trust.py --count 100 --pair-count 200

The demo model is checked on held-out scenes: `clip_surgery` and `similarity` on more of them than
the other methods. `python docs/make_findings.py --write-only` then writes the tables into
docs/findings.md.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from shutil import rmtree

from clip_surgery import load
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.reporting.provenance import describe_machine
from clip_surgery.evaluation.trust.checks import CHECKS
from clip_surgery.evaluation.trust.run import check_methods
from clip_surgery.methods.registry import parse_methods
from clip_surgery.methods.requirements import supported_methods

DOCS = Path(__file__).parent
JOURNALS = DOCS.parent / "runs/trust"
HELD_OUT_SEED = 2_000_003
PAIR = "similarity, clip_surgery"
SLOW = ("gscorecam",)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=12, help="scenes for all methods")
    parser.add_argument("--pair-count", type=int, default=60, help="scenes for the pair")
    options = parser.parse_args()
    explainer = load("demo", templates="photo", batch_size=32)
    everything = ", ".join(
        name for name in supported_methods(explainer.backbone) if name not in SLOW
    )
    studies = {}
    for name, methods, count in (
        ("pair", PAIR, options.pair_count),
        ("methods", everything, options.count),
    ):
        scenes = SceneDataset(seed=HELD_OUT_SEED, count=count)
        journal = JOURNALS / f"{name}-{count}"
        journal.mkdir(parents=True, exist_ok=True)
        report = check_methods(explainer, scenes, parse_methods(methods), journal=journal)
        studies[name] = report.to_values()
        print(report.table(), flush=True)
    text = json.dumps({"machine": describe_machine(), "studies": studies}, indent=1)
    (DOCS / "trust.json").write_text(text + "\n", encoding="utf-8")
    rmtree(JOURNALS)
    draw(studies["pair"]["values"])


def draw(values: dict) -> None:
    """Draw the values of the pair and of random maps as bars with their intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    shown = ("road", "insertion_deletion", "sensitivity", "mosaic", "flip")
    colours = {"clip_surgery": "#00796b", "similarity": "#d84315", "random order": "#90a4ae"}
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(figsize=(7, 2.8))
    for number, (method, colour) in enumerate(colours.items()):
        rows = [values[method][check] for check in shown]
        axes.bar(
            [index + 0.27 * (number - 1) for index in range(len(shown))],
            [row["mean"] for row in rows],
            yerr=[(row["high"] - row["low"]) / 2 for row in rows],
            width=0.25, color=colour, label=method, error_kw={"elinewidth": 1, "capsize": 2},
        )  # fmt: skip
    axes.axhline(0, color="gray", linewidth=0.8)
    titles = [CHECKS[check].title.replace(" - ", "\n- ") for check in shown]
    axes.set_xticks(range(len(shown)), titles)
    axes.set_ylabel("value, higher is better")
    axes.legend(frameon=False)
    figure.savefig(DOCS / "pictures/trust.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
