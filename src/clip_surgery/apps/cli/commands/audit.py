"""`clip-surgery audit`: what the labels of a data set are read from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import JournalOptions
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutFolder, Overwrite
from clip_surgery.errors import InputError


@dataclass(frozen=True, kw_only=True)
class AuditJournalOptions(JournalOptions):
    """The journal of an audit, which is in the folder of its results."""

    journal: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the values of finished images, with which an interrupted run "
            "continues.",
            show_default="OUT/audit-journal, until the run is complete",
            metavar="FOLDER",
        ),
    ] = None


@with_options
def audit(
    folder: Annotated[
        str,
        typer.Argument(
            help="Folder of images. The folder of an image may be named by its true label.",
            metavar="FOLDER",
        ),
    ],
    model: ExplainerOptions,
    running: AuditJournalOptions,
    labels: Annotated[Path, typer.Option(help="A file with one label per line.", metavar="FILE")],
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            help="A file with words that regions may look like, one per line.",
            show_default="places, surfaces and materials",
            metavar="FILE",
        ),
    ] = None,
    masks: Annotated[
        bool,
        typer.Option(
            "--masks",
            help="The folder has images/, masks/ and names.txt, as for 'evaluate folder': also "
            "measure the influence of backgrounds.",
        ),
    ] = False,
    regions: Annotated[
        int, typer.Option(min=1, max=32, help="Largest number of regions of an image.")
    ] = 6,
    out: OutFolder = Path("out"),
    overwrite: Overwrite = False,
) -> None:
    """Find out what labels are read from: the object, or its surroundings.

    clip-surgery audit photos --labels labels.txt

    Regions of each image are removed in turn. If a label loses most of its evidence without the
    regions that look like another word, it is read from them. Writes audit.html and audit.json.
    An interrupted audit continues when the same command is given again; --fresh starts again.
    """
    import json

    from clip_surgery.apps.cli.shared.run_journal import locked, opened_journal
    from clip_surgery.audits.html_report import html_report
    from clip_surgery.audits.run import audit as run_audit
    from clip_surgery.evaluation.datasets.registry import open_dataset
    from clip_surgery.evaluation.execution.journal import write_durably
    from clip_surgery.inputs.image_folders import list_images
    from clip_surgery.inputs.texts import read_labels

    images = list_images([Path(folder) / "images" if masks else folder])
    names = read_labels(labels)
    words = None if vocabulary is None else read_labels(vocabulary)
    dataset = open_dataset("folder", Path(folder)) if masks else None
    pages = {kind: out / f"audit.{kind}" for kind in ("html", "json")}
    with locked(out, "another audit is writing there"):
        for path in pages.values():
            if path.exists() and not overwrite:
                raise InputError(
                    f"{path}: exists; choose another --out, or replace it: --overwrite."
                )
        explainer = model.load()
        with (
            opened_journal(running, running.journal or out / "audit-journal") as journal,
            console.progress("auditing", total=len(images)) as advance,
        ):
            report, image_regions = run_audit(
                explainer,
                images,
                names,
                vocabulary=words,
                masks=dataset,
                regions=regions,
                journal=journal.folder,
                on_progress=advance,
            )
            page = html_report(explainer, report, image_regions)
            write_durably(pages["html"], page.encode("utf-8", "backslashreplace"))
            values = json.dumps(report.to_values(), indent=1)
            write_durably(pages["json"], (values + "\n").encode())
            journal.finish()
    for message in report.skipped:
        console.error(message)
    _show(report)
    console.result(f"wrote {pages['html']} and {pages['json']}")
    if report.skipped:
        raise typer.Exit(1)


def _show(report: object) -> None:
    from clip_surgery.apps.cli.shared.tables import Number, show_table
    from clip_surgery.audits.run import AuditReport

    assert isinstance(report, AuditReport)
    rows = [
        (
            finding.label,
            finding.word,
            f"{finding.share.mean:.0%}",
            str(finding.share.count),
            "flagged" if finding.flagged else "",
        )
        for finding in report.findings[:10]
    ]
    if not rows:
        console.result("no label is read from regions that look like another word.")
        return
    show_table(("label", "read from", Number("share"), Number("images"), ""), rows)
