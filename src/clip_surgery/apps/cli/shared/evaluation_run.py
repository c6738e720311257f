"""An evaluation that the command line runs, with its progress bar and its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import SCENES, RunOptions
from clip_surgery.apps.cli.shared.run_journal import run_journal
from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.evaluation.datasets.dataset import Dataset, describe_dataset
from clip_surgery.evaluation.datasets.prompted_classes import PromptedClasses
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.evaluation.datasets.subset import Subset
from clip_surgery.evaluation.execution.run import EvaluationInterrupted, evaluate
from clip_surgery.evaluation.protocols.registry import Protocol
from clip_surgery.evaluation.reporting.report import (
    Report,
    load_reports,
    save_reports,
    with_remark,
)
from clip_surgery.explainer import Explainer
from clip_surgery.methods.method import Method
from clip_surgery.methods.remarks import method_remark
from clip_surgery.methods.requirements import require

HELD_OUT_SEED = 2_000_003  # scenes that the demo model was not trained on


@dataclass(frozen=True, kw_only=True)
class EvaluationRun:
    """An evaluation, and where partial results are kept until it is complete.

    Attributes:
        dataset: images with ground truth.
        root: the folder of the data set.
        protocol: how methods are evaluated.
        methods: the methods by their names in tables.
        recipe: loads the model, in this process and in workers.
        running: number of workers, and the journal. A journal that the user named is kept; the
            default one, in the cache, is removed when the evaluation is complete.
    """

    dataset: Dataset
    root: Path | None
    protocol: Protocol
    methods: Mapping[str, Method]
    recipe: partial[Explainer]
    running: RunOptions

    def run(self, out: Path | None, *, overwrite: bool = False) -> tuple[list[Report], bool]:
        """Evaluate, and write the reports to a file.

        The journal is removed after the reports were written, so that nothing is lost if they
        cannot be written.

        Args:
            out: the file for the reports, if any.
            overwrite: replace the file even if it holds reports of another evaluation.

        Returns:
            The reports, and whether the run was interrupted, so that they are partial.

        Raises:
            InputError: if an image, text, journal or `out` cannot be used, or the same evaluation
                is already running.
            UnsupportedModelError: if none of the methods supports the model.
        """
        with console.status(f"loading {self.recipe.args[0]}"):
            explainer = self.recipe()
        supported = supported_methods(self.methods, explainer.backbone)
        return replace(self, methods=supported)._run(explainer, out, overwrite=overwrite)

    def _run(
        self, explainer: Explainer, out: Path | None, *, overwrite: bool
    ) -> tuple[list[Report], bool]:
        if out is not None and not overwrite:
            self._check_report_file(out, explainer)
        with run_journal(self.running, "evaluations", self._identity) as journal:
            try:
                reports, interrupted = self._evaluate(explainer, journal.folder), False
            except EvaluationInterrupted as stop:
                reports = self._with_remarks(stop.reports, explainer)
                interrupted = True
            if reports and out is not None:
                save_reports(reports, out)
                console.notice(f"reports are in {out}")
            if not interrupted:
                journal.finish()
        return reports, interrupted

    def _check_report_file(self, path: Path, explainer: Explainer) -> None:
        """Refuse to replace a file unless it holds reports of this evaluation.

        Raises:
            InputError: if it holds anything else.
        """
        if not path.exists():
            return
        settings = {
            "dataset": describe_dataset(self.dataset),
            "backbone": explainer.backbone.name,
            "protocol": repr(self.protocol),
        }
        methods = {row: repr(method) for row, method in self.methods.items()}
        try:
            reports = load_reports(path)
        except InputError:
            reports = []
        is_same = bool(reports) and all(
            methods.get(report.row) == report.settings.get("method")
            and settings.items() <= report.settings.items()
            for report in reports
        )
        if not is_same:
            raise InputError(
                f"{path}: holds reports of another evaluation, or something else; choose another "
                "--out, or replace it with --overwrite."
            )

    def _evaluate(self, explainer: Explainer, journal: Path | None) -> list[Report]:
        with console.progress("evaluating", total=len(self.dataset)) as advance:
            reports = evaluate(
                explainer,
                self.dataset,
                self.methods,
                protocol=self.protocol,
                journal=journal,
                workers=self.running.workers,
                load=self.recipe,
                on_progress=advance,
            )
        return self._with_remarks(reports, explainer)

    def _with_remarks(self, reports: Sequence[Report], explainer: Explainer) -> list[Report]:
        """Return the reports; those of methods whose settings do not suit the model say so."""
        remarks = {
            row: method_remark(method, explainer.backbone) for row, method in self.methods.items()
        }
        return [with_remark(report, remarks[report.row]) for report in reports]

    def _identity(self) -> tuple[object, ...]:
        """Return what sets this evaluation apart from others, for its journal in the cache."""
        return (
            describe_dataset(self.dataset),
            None if self.root is None else str(self.root.resolve()),
            repr(self.protocol),
            {row: repr(method) for row, method in self.methods.items()},
            repr((self.recipe.args, sorted(self.recipe.keywords.items()))),
        )


def supported_methods(methods: Mapping[str, Method], backbone: Backbone) -> dict[str, Method]:
    """Return the methods that support the model; print why the others are left out.

    Raises:
        UnsupportedModelError: if none does.
    """
    supported = {}
    for row, method in methods.items():
        try:
            require(backbone, getattr(method, "needs", ()), purpose=method.name)
        except UnsupportedModelError as error:
            if len(methods) == 1:
                raise
            reason = error.problem.removeprefix(f"{method.name} ")
            console.notice(f"{row} is left out: it {reason}")
        else:
            supported[row] = method
    if not supported:
        raise UnsupportedModelError(
            f"None of these methods can serve {backbone.name}: {', '.join(methods)}."
        )
    return supported


def open_images(
    dataset: str,
    root: Path | None,
    *,
    split: str | None,
    seed: int | None,
    count: int | None,
    class_names: Path | None = None,
) -> Dataset:
    """Open a data set, or `count` images that are evenly spaced over it.

    Classes are prompted with the names of the file `class_names`, if one is given.

    Raises:
        UnknownNameError: for an unknown name, or an option that this data set does not have.
        InputError: if its folder is missing or incomplete, or the file of names does not fit.
    """
    options = {"split": split, "seed": seed}
    settings: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if dataset == "scenes":
        settings = {"seed": HELD_OUT_SEED, "count": count or SCENES, **settings}
    whole = open_dataset(dataset, root, **settings)
    if class_names is not None:
        whole = PromptedClasses(whole, class_names)
    return whole if count is None or count >= len(whole) else Subset(whole, count)


def prepare_file(path: Path) -> None:
    """Check before long work that a file can be written, and make its folder.

    Raises:
        InputError: if it cannot be written, or a folder has its name.
    """
    if path.is_dir():
        raise InputError(f"{path}: expected the name of a file, but this is a folder.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be written here ({error.strerror}).") from error
