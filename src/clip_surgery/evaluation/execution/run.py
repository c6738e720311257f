"""Run methods over a data set and measure what they show."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.execution.evaluator import Evaluator
from clip_surgery.evaluation.execution.journal import Journal
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.execution.plan import MetricFactory, Plan, digest
from clip_surgery.evaluation.execution.resuming import part_kept, parts_kept
from clip_surgery.evaluation.execution.worker import WorkerLoader, evaluate_in_processes
from clip_surgery.evaluation.metrics.explainability_iou import ExplainabilityIoU
from clip_surgery.evaluation.metrics.noise_share import NoiseShare
from clip_surgery.evaluation.metrics.pixel_ranking import PixelRanking
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.presence_auroc import PresenceAuroc
from clip_surgery.evaluation.metrics.score_contrast import ScoreContrast
from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.evaluation.reporting.report import Report
from clip_surgery.explainer import Explainer
from clip_surgery.methods.method import Method
from clip_surgery.processes.interrupts import interrupts_held_back

PART_SIZE = 16
"""Images that are done and kept together."""

# What a report of explanations holds; each is made with the names of the data set.
EXPLANATION_METRICS: tuple[MetricFactory, ...] = (
    ScoreContrast,
    ExplainabilityIoU,
    PixelRanking,
    Pointing,
    NoiseShare,
    PresenceAuroc,
)


class EvaluationInterrupted(KeyboardInterrupt):
    """A Ctrl-C in an evaluation; `reports` hold what was measured until then, one a row.

    There are none when no part was done.
    """

    def __init__(self, reports: Sequence[Report]) -> None:
        super().__init__(f"interrupted after {reports[0].images if reports else 0} images")
        self.reports = list(reports)


def evaluate(
    explainer: Explainer,
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    protocol: Protocol | None = None,
    metrics: Sequence[MetricFactory] | None = None,
    journal: str | Path | None = None,
    workers: int = 0,
    load: Callable[[], Explainer] | None = None,
    part_size: int | None = None,
    on_progress: Callable[[int], None] = lambda images: None,
) -> list[Report]:
    """Explain every image of a data set for all its names by each method, and measure.

    Each image is decoded once, in the background, and the texts are encoded once, for all
    methods. An image that cannot be read is counted and named in the reports. Sums are taken
    over parts in their order: with the same batch size and threads a process, values are equal to
    the last bit however many processes and interruptions there were.

    Args:
        explainer: the model with its templates and framing, which a protocol replaces by its own;
            its method is not used.
        dataset: samples with their truth; read by several threads at once.
        methods: row name to method.
        protocol: how images are shown, what they are asked for, and what is measured.
        metrics: what to measure instead; each is called with the names. Without a protocol
            `EXPLANATION_METRICS`.
        journal: a folder that keeps the parts done; the same evaluation goes on from there.
        workers: processes; below 2 this one does it all. They share this process's threads.
        load: makes the same model again, in each worker: `functools.partial(load, "demo")`.
        part_size: images a part, 16 or a whole batch if None; a journal keeps its own.
        on_progress: told how many more images are done, those of the journal first.

    Raises:
        InputError: when there is no method, no image or none that can be read, when the journal
            is of another evaluation, or when `load` is missing.
        WorkerError: when processes ended again and again.
        EvaluationInterrupted: at Ctrl-C, with the reports of what was done.
    """
    if workers > 1 and load is None:
        raise InputError("Expected `load`, by which each of several processes makes the model.")
    if protocol is not None:
        explainer = protocol.apply(explainer)
    if metrics is None:
        metrics = EXPLANATION_METRICS if protocol is None else ()
    plan = Plan(
        dataset=dataset,
        methods=methods,
        protocol=protocol,
        metrics=tuple(metrics),
        part_size=max(PART_SIZE, explainer.batch_size) if part_size is None else part_size,
    )
    weights = fingerprint(explainer.backbone.model)
    with _opened(journal, plan, plan.identity(explainer, weights), workers) as kept:
        if kept is not None:
            plan = replace(plan, part_size=kept.part_size)
        measuring = Evaluator(plan=plan, explainer=explainer, texts=explainer.encode(plan.texts))
        task = None
        if kept is not None and workers > 1 and load is not None:
            task = WorkerLoader.of(measuring, kept, load=load, weights=weights, workers=workers)
        total, complete = _measure(measuring, kept, task, workers, on_progress)
    settings = _settings(measuring, weights, workers)
    reports = _reports(total, plan.methods, settings, complete=complete)
    if not complete:
        raise EvaluationInterrupted(reports)
    if not reports:
        raise InputError(
            f"{dataset.name}: none of {len(dataset)} images can be read; the first is "
            f"{total.failures[min(total.failures)]}"
        )
    return reports


@contextmanager
def _opened(
    folder: str | Path | None, plan: Plan, identity: Mapping[str, str], workers: int
) -> Iterator[Journal | None]:
    """The journal; a spare one for the time of this run where only the workers need it."""
    if folder is not None:
        yield Journal.open(folder, identity, part_size=plan.part_size)
    elif workers > 1:
        with TemporaryDirectory(prefix="clip-surgery-") as spare:
            yield Journal.open(spare, identity, part_size=plan.part_size)
    else:
        yield None


def _measure(
    measuring: Evaluator,
    kept: Journal | None,
    task: WorkerLoader | None,
    workers: int,
    on_progress: Callable[[int], None],
) -> tuple[PartialResult, bool]:
    """Measure what the journal does not hold; all that was measured, and whether that is all."""
    parts, total = measuring.plan.parts(), measuring.plan.nothing(measuring.explainer)
    complete = False
    try:
        done = set() if kept is None else parts_kept(measuring, kept)
        if done:
            on_progress(sum(len(parts[number]) for number in done))
        missing = [number for number in range(len(parts)) if number not in done]
        if task is None:
            numbers = _measure_here(measuring, missing, kept, total)
        else:
            numbers = evaluate_in_processes(task, missing, workers=workers)
        with closing(numbers):
            for number in numbers:
                on_progress(len(parts[number]))
        complete = True
    except KeyboardInterrupt:
        pass  # what is done is handed out by the caller
    if kept is not None:
        for number in range(len(parts)):
            found = part_kept(measuring, kept, number)
            if found is not None:
                total.merge(found)
            elif complete:
                raise InputError(
                    f"{kept.path(number)}: expected what was measured, but it has gone or is "
                    "damaged. Does another program use this folder? The same call again measures "
                    "what is missing."
                )
    return total, complete


def _measure_here(
    measuring: Evaluator, numbers: Sequence[int], kept: Journal | None, total: PartialResult
) -> Generator[int]:
    """Measure these parts in this process, into the journal or else into `total`."""
    waiting = deque(numbers)
    for number, found in measuring.parts(lambda _: waiting.popleft() if waiting else None):
        if kept is not None:
            kept.write(number, found.to_bytes())
        else:
            with interrupts_held_back():
                total.merge(found)
        yield number


def _settings(measuring: Evaluator, weights: str, workers: int) -> dict[str, str]:
    """What reports say of the model and of how it was asked."""
    explainer, protocol = measuring.explainer, measuring.plan.protocol
    backbone, templates = explainer.backbone, explainer.templates
    settings = {
        "dataset": repr(measuring.plan.dataset),
        "backbone": backbone.name,
        "weights": weights,
        "device": f"{backbone.device.type}, {backbone.dtype}",
        "processes": str(max(1, workers)),
        "templates": f"{len(templates)}: {templates[0]} ...",
        "framing": repr(explainer.framing),
    }
    if protocol is not None:
        settings["protocol"] = repr(protocol)
    if explainer.vocabulary is not None:
        settings["vocabulary"] = digest(explainer.vocabulary)
    return settings


def _reports(
    total: PartialResult,
    methods: Mapping[str, Method],
    settings: Mapping[str, str],
    *,
    complete: bool,
) -> list[Report]:
    """One report a row; none when no image was measured."""
    if not total.images:
        return []
    return [
        Report(
            row=row,
            values=total.values(row),
            images=total.images,
            settings={**settings, "method": repr(method)},
            failures=tuple(total.failures[index] for index in sorted(total.failures)),
            complete=complete,
        )
        for row, method in methods.items()
    ]
