"""Evaluate the demo model on held-out scenes and write docs/findings.md with tables and plots.

    python docs/make_findings.py                  evaluate, then write; an interrupted run continues
    python docs/make_findings.py --count 50       fewer scenes, as a trial
    python docs/make_findings.py --write-only     write the page again from docs/findings.json

The numbers are stored in docs/findings.json. The section on training is fixed text in
findings_page.py.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree

from findings_page import write_page

from clip_surgery import load
from clip_surgery.backbones.loading import load_backbone
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.execution.run import evaluate
from clip_surgery.evaluation.protocols.registry import PROTOCOLS
from clip_surgery.evaluation.reporting.provenance import describe_machine
from clip_surgery.methods.registry import parse_methods
from clip_surgery.methods.requirements import supported_methods

DOCS = Path(__file__).parent
JOURNALS = DOCS.parent / "runs/findings"
HELD_OUT_SEED = 2_000_003
DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8)
TEMPERATURES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SHARPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0)
SIZES = (64, 96, 128, 160, 192, 256)
TEMPLATES = ("photo", "small", "clip_surgery")
BOTH = "similarity, clip_surgery"


@dataclass(frozen=True, kw_only=True)
class Study:
    """One table: methods that are evaluated with the protocol of the scenes and some changes to it.

    Attributes:
        name: key in findings.json.
        methods: the methods with their settings, as on the command line.
        size: side of the input images in pixels, or None for the size of the model.
        templates: name of a set of prompt templates.
        metrics: keys of METRICS in addition to those of the protocol.
        share: share of the scenes in (0, 1]; slow methods use fewer scenes.
    """

    name: str
    methods: str
    size: int | None = None
    templates: str = "clip_surgery"
    metrics: tuple[str, ...] = ()
    share: float = 1.0


STUDIES = (
    Study(
        name="phenomena",
        methods=BOTH,
        metrics=("foreground_attention", "segmentation", "points", "tags", "deletion_insertion"),
        share=0.4,
    ),
    Study(
        name="ablation",
        methods="similarity, similarity(redundancy=labels), similarity(redundancy=empty text), "
        "clip_surgery(redundancy=none), clip_surgery, clip_surgery(weighting=paper), "
        "clip_surgery(redundancy=empty text)",
    ),
    Study(
        name="depth",
        methods=", ".join(
            f"clip_surgery(depth={depth}{also})"
            for depth in DEPTHS
            for also in ("", ", redundancy=none")
        ),
    ),
    Study(
        name="temperature",
        methods=", ".join(f"clip_surgery(temperature={value})" for value in TEMPERATURES),
    ),
    *(Study(name=f"templates {name}", methods=BOTH, templates=name) for name in TEMPLATES),
    *(Study(name=f"size {size}", methods=BOTH, size=size) for size in SIZES),
    Study(
        name="methods",
        methods=", ".join(
            name for name in supported_methods(load_backbone("demo")) if name != "gscorecam"
        ),
    ),
    Study(name="gem", methods=", ".join(f"gem(sharpness={value})" for value in SHARPNESSES)),
    Study(name="methods, slow", methods="gscorecam", share=0.2),
)


def main() -> None:
    options = read_options()
    if not options.write_only:
        measured = {study.name: measure(study, options.count) for study in STUDIES}
        record = {"machine": describe_machine(), "studies": measured}
        text = json.dumps(record, indent=1, ensure_ascii=False)
        (DOCS / "findings.json").write_text(text + "\n", encoding="utf-8")
        rmtree(JOURNALS)  # the next run evaluates everything again, with the code of that time
    write_page(json.loads((DOCS / "findings.json").read_text(encoding="utf-8")), DOCS)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500, help="number of scenes")
    parser.add_argument(
        "--write-only", action="store_true", help="write the page from the stored numbers"
    )
    return parser.parse_args()


def measure(study: Study, count: int) -> dict[str, object]:
    """Return the values of one study for each method, with the protocol and number of images."""
    protocol = PROTOCOLS["scenes"].changed(size=study.size, templates=study.templates)
    protocol = replace(protocol, metrics=(*protocol.metrics, *study.metrics))
    scenes = SceneDataset(seed=HELD_OUT_SEED, count=max(2, round(study.share * count)))
    journal = JOURNALS / f"{study.name} {len(scenes)}"
    print(f"{study.name}: {len(scenes)} scenes", flush=True)
    reports = evaluate(
        load("demo", batch_size=16),
        scenes,
        parse_methods(study.methods),
        protocol=protocol,
        journal=journal,
    )
    return {
        "images": reports[0].images,
        "protocol": repr(protocol),
        "values": {report.row: report.values for report in reports},
    }


if __name__ == "__main__":
    main()
