"""A study of what makes plain CLIP's maps opposite: short runs that differ in one setting each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from recipe.config import CONFIGS, LATER_STAGE, Config, Model, Schedule
from recipe.loop import train

LAST = "figures.json"
COLUMNS: tuple[str, ...] = (
    *("plain mSC", "plain opposite", "plain noise share", "plain pointing", "plain AUC"),
    *("surgery mSC", "surgery opposite", "both noise share", "surgery pointing", "surgery AUC"),
    *("surgery IoU", "both presence", "image presence", "retrieval", "label_precision"),
)
FIRST_EDITION = Path(__file__).parents[2] / "runs/first/model.safetensors"
"""The first demo model, which the history of the repository holds (README.md)."""


@dataclass(frozen=True, kw_only=True)
class Variants:
    """Runs that start alike and differ by the settings named: changes of `Config` by name."""

    base: Config
    changes: Mapping[str, Mapping[str, object]]
    weights: Path | None = None
    """The file to start from; fresh weights if not given."""
    about: str = ""
    schedules: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """Changes of the schedule, by the name of the variant."""

    def config(self, name: str, seed: int) -> Config:
        """The settings of one run."""
        schedule = dataclasses.replace(self.base.schedule, **self.schedules.get(name, {}))  # type: ignore[arg-type]
        changed = dataclasses.replace(self.base, **self.changes[name])  # type: ignore[arg-type]
        return dataclasses.replace(changed, schedule=schedule, seed=seed)


def quiet(config: Config) -> Config:
    """The settings without measurements on the way and without an end by minutes.

    Two runs see the same scenes then, however fast the machine is.
    """
    return dataclasses.replace(
        config,
        minutes=1e6,
        retrieval_steps=10**9,
        localisation_steps=10**9,
        checkpoint_minutes=2.0,
    )


TRIAL: Mapping[str, object] = {
    "labels_compete": True,
    "labels_both_ways": False,
    "true_captions_are_negatives": True,
    "empty_captions": 0.0,
    "label_templates": "few",
}
"""What the trial's losses and texts had that differs from the recipe of the first edition."""


def without(*names: str) -> dict[str, object]:
    """The trial's settings but these, which are those of the first edition."""
    return {name: value for name, value in TRIAL.items() if name not in names}


SHORT = quiet(
    dataclasses.replace(
        CONFIGS["cpu"],
        samples=25_600,
        batch=64,
        schedule=Schedule(keep=((0.8, 40 / 144), (1.0, 0.5))),
    )
)
CHANGES: Mapping[str, Mapping[str, object]] = {
    "shipped": {},
    "trial": TRIAL,
    "shipped, labels compete": {"labels_compete": True},
    "shipped, labels one way": {"labels_both_ways": False},
    "shipped, true captions are negatives": {"true_captions_are_negatives": True},
    "shipped, no empty captions": {"empty_captions": 0.0},
    "shipped, few templates": {"label_templates": "few"},
    "trial, labels do not compete": without("labels_compete"),
    "trial, labels both ways": without("labels_both_ways"),
    "trial, true captions are not negatives": without("true_captions_are_negatives"),
    "trial, with empty captions": without("empty_captions"),
    "trial, all templates": without("label_templates"),
    "captions alone": {**TRIAL, "label_weight": 0.0},
    "captions alone, true captions are not negatives": {"label_weight": 0.0},
    "shipped, all patches": {},
    "trial, all patches": TRIAL,
}
ALL_PATCHES: Mapping[str, object] = {"keep": ((1.0, 1.0),)}
SCHEDULES = {name: ALL_PATCHES for name in CHANGES if name.endswith("all patches")}
CONTINUED = quiet(
    dataclasses.replace(
        CONFIGS["cpu"],
        samples=9_600,
        batch=64,
        schedule=Schedule(peak_rate=5e-4, keep=((1.0, 0.5),), few_objects_until=0.0),
    )
)
CONTINUED_ALL = dataclasses.replace(
    CONTINUED,
    samples=6_400,
    localisation_steps=50,
    schedule=Schedule(peak_rate=1e-3, warm_up=0.1, keep=((1.0, 1.0),), few_objects_until=0.0),
)
TRIAL_LENGTH = dataclasses.replace(
    SHORT,
    samples=121_600,
    retrieval_steps=200,
    localisation_steps=200,
    schedule=Schedule(keep=((0.55, 40 / 144), (0.92, 0.5), (1.0, 1.0)), few_objects_until=0.34),
)
"""The length of the trial, and its schedule by time turned into one by scenes."""
KEPT = dataclasses.replace(quiet(LATER_STAGE), localisation_steps=250)
KEPT_PARTS: Mapping[str, Mapping[str, object]] = {
    "two blocks and the output": {"kept_blocks": 2},
    "two blocks": {"kept_blocks": 2, "fresh_ends": ("output",)},
    "one block and the output": {"kept_blocks": 1},
    "the text tower alone": {"kept_blocks": 0, "fresh_ends": ("input", "output")},
    "6 blocks in all": {"kept_blocks": 2, "model": Model(layers=6)},
    "10 blocks in all": {"kept_blocks": 2, "model": Model(layers=10)},
    "label weight 0.1": {"kept_blocks": 2, "label_weight": 0.1},
    "label weight 3": {"kept_blocks": 2, "label_weight": 3.0},
    "peak rate 0.002": {"kept_blocks": 2},
}
"""Which parts of the weights that a run starts from are kept besides the text tower."""
KEPT_SCHEDULES = {"peak rate 0.002": {"peak_rate": 2e-3}}
LISTS: dict[str, Variants] = {
    "scratch": Variants(base=SHORT, changes=CHANGES, schedules=SCHEDULES),
    "continued with all patches": Variants(
        base=CONTINUED_ALL, changes=CHANGES, weights=FIRST_EDITION
    ),
    "kept parts": Variants(
        base=KEPT, changes=KEPT_PARTS, schedules=KEPT_SCHEDULES, weights=FIRST_EDITION
    ),
    "length of the trial": Variants(base=TRIAL_LENGTH, changes=CHANGES),
    "continued": Variants(
        base=CONTINUED, changes=CHANGES, schedules=SCHEDULES, weights=FIRST_EDITION
    ),
}


def run_study(out: Path, which: str, only: Sequence[str] | None, seeds: Sequence[int]) -> None:
    """Train the variants one after another and write the table anew after each.

    Runs of the folder that are finished are not trained again.
    """
    variants = LISTS[which]
    for seed in seeds:
        for name in only or variants.changes:
            folder = out / which / f"{name.replace(', ', '-').replace(' ', '_')}.{seed}"
            if not (folder / LAST).exists():
                torch.compiler.reset()
                train(variants.config(name, seed), folder, weights=variants.weights)
                last = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()[-1]
                facts = {"list": which, "variant": name, "seed": seed, **json.loads(last)}
                (folder / LAST).write_text(json.dumps(facts) + "\n", encoding="utf-8")
            write_tables(out)


def write_tables(out: Path) -> None:
    """Write study.json and study.md from all finished runs of the folder."""
    rows = [json.loads(path.read_text("utf-8")) for path in sorted(out.glob(f"*/*/{LAST}"))]
    (out / "study.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (out / "study.md").write_text(table(rows), encoding="utf-8")


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table in per cent, one run a line."""
    head = ["list", "variant", "seed", *COLUMNS]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        figures = [f"{100 * float(str(row[name])):.1f}" for name in COLUMNS]
        lines.append([str(row["list"]), str(row["variant"]), str(row["seed"]), *figures])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
