"""Evaluate methods on a data set: the entry point `evaluate`."""

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
from clip_surgery.evaluation.execution.plan import MetricFactory, Plan
from clip_surgery.evaluation.execution.reports import report_settings, reports_of
from clip_surgery.evaluation.execution.resuming import finished_parts, stored_result
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
from clip_surgery.methods.applied_settings import applied_settings
from clip_surgery.methods.method import Method
from clip_surgery.processes.interrupts import interrupts_held_back

PART_SIZE = 16
"""Default number of images that are evaluated and stored together."""

# The metrics of an evaluation without protocol.
EXPLANATION_METRICS: tuple[MetricFactory, ...] = (
    ScoreContrast,
    ExplainabilityIoU,
    PixelRanking,
    Pointing,
    NoiseShare,
    PresenceAuroc,
)


class EvaluationInterrupted(KeyboardInterrupt):
    """An evaluation was interrupted by Ctrl-C.

    Attributes:
        reports: one report per method, over the images that were finished; empty if none were.
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
    """Evaluate methods on a data set and return one report per method.

    Every image is explained for all class names by each method. Images are decoded once and texts
    are encoded once for all methods. An image that cannot be read is counted and named in the
    reports. With the same batch size and number of threads per process, the values are equal to
    the last bit, however many workers and interruptions there were.

    Args:
        explainer: the model with its templates and framing, which a protocol replaces with its
            own. The method of the explainer is not used.
        dataset: images with their ground truth; it is read by several threads at once.
        methods: row name to method.
        protocol: how images are framed, which texts they are explained for, and the metrics.
        metrics: metrics to compute instead of those of the protocol. Each factory is called with
            the class names. Without a protocol the default is `EXPLANATION_METRICS`.
        journal: folder that stores the finished parts. An evaluation that was stopped continues
            from there; a part that is damaged or was copied is evaluated again.
        workers: number of worker processes, which share the threads of this process. Below 2 the
            evaluation runs in this process.
        load: creates the same model in each worker, for example `functools.partial(load, "demo")`.
            It is required if `workers` is above 1.
        part_size: number of images in a part. If None, 16 or the batch size if that is larger. An
            existing journal keeps its own part size.
        on_progress: called with the number of images that have been finished since the last call;
            the first call counts the images of the journal.

    Returns:
        One report per method, in the order of `methods`.

    Raises:
        InputError: if there is no method or no image that can be read, if the journal belongs to
            another evaluation, or if `load` is missing.
        WorkerError: if worker processes ended repeatedly.
        EvaluationInterrupted: on Ctrl-C, with the reports of the images that were finished.

    Example:
        >>> import clip_surgery as cs
        >>> scenes = cs.open_dataset("scenes", seed=1, count=2)
        >>> explainer = cs.load("demo")
        >>> [report] = evaluate(explainer, scenes, {"clip_surgery": explainer.method})
        >>> report.images
        2
    """
    if workers > 1 and load is None:
        raise InputError("Expected `load`, which creates the model in each worker process.")
    if protocol is not None:
        explainer = protocol.apply(explainer)
    if metrics is None:
        metrics = EXPLANATION_METRICS if protocol is None else ()
    plan = Plan(
        dataset=dataset,
        methods={
            row: applied_settings(method, explainer.backbone.tower)
            for row, method in methods.items()
        },
        protocol=protocol,
        metrics=tuple(metrics),
        part_size=max(PART_SIZE, explainer.batch_size) if part_size is None else part_size,
    )
    weights = fingerprint(explainer.backbone.model)
    with _open_journal(journal, plan, plan.identity(explainer, weights), workers) as opened:
        if opened is not None:
            plan = replace(plan, part_size=opened.part_size)
        evaluator = Evaluator(plan=plan, explainer=explainer, texts=explainer.encode(plan.texts))
        loader = None
        if opened is not None and workers > 1 and load is not None:
            loader = WorkerLoader.of(evaluator, opened, load=load, weights=weights, workers=workers)
        result, complete = _evaluate_parts(evaluator, opened, loader, workers, on_progress)
    settings = report_settings(evaluator, weights, workers)
    reports = reports_of(result, plan.methods, settings, complete=complete)
    if not complete:
        raise EvaluationInterrupted(reports)
    if not reports:
        raise InputError(
            f"{dataset.name}: none of {len(dataset)} images can be read; the first is "
            f"{result.failures[min(result.failures)]}"
        )
    return reports


@contextmanager
def _open_journal(
    folder: str | Path | None, plan: Plan, identity: Mapping[str, str], workers: int
) -> Iterator[Journal | None]:
    """Open the journal; with several workers and no folder, one in a temporary folder."""
    if folder is not None:
        yield Journal.open(folder, identity, part_size=plan.part_size)
    elif workers > 1:
        with TemporaryDirectory(prefix="clip-surgery-") as temporary:
            yield Journal.open(temporary, identity, part_size=plan.part_size)
    else:
        yield None


def _evaluate_parts(
    evaluator: Evaluator,
    journal: Journal | None,
    loader: WorkerLoader | None,
    workers: int,
    on_progress: Callable[[int], None],
) -> tuple[PartialResult, bool]:
    """Evaluate the parts that are not in the journal.

    Returns:
        The merged result of all finished parts, and whether all parts are finished.
    """
    parts = evaluator.plan.parts()
    result = evaluator.plan.empty_result(evaluator.explainer)
    complete = False
    try:
        finished = set() if journal is None else finished_parts(evaluator, journal)
        if finished:
            on_progress(sum(len(parts[number]) for number in finished))
        missing = [number for number in range(len(parts)) if number not in finished]
        if loader is None:
            numbers = _evaluate_in_process(evaluator, missing, journal, result)
        else:
            numbers = evaluate_in_processes(loader, missing, workers=workers)
        with closing(numbers):
            for number in numbers:
                on_progress(len(parts[number]))
        complete = True
    except KeyboardInterrupt:
        pass  # `evaluate` raises EvaluationInterrupted with the finished parts
    if journal is not None:
        _merge_stored(evaluator, journal, result, complete=complete)
    return result, complete


def _merge_stored(
    evaluator: Evaluator, journal: Journal, result: PartialResult, *, complete: bool
) -> None:
    """Merge the parts of the journal into the result, in the order of their numbers.

    Raises:
        InputError: if the run is complete and a part is missing.
    """
    for number in range(len(evaluator.plan.parts())):
        part = stored_result(evaluator, journal, number)
        if part is not None:
            result.merge(part)
        elif complete:
            raise InputError(
                f"{journal.path(number)}: expected the result of this part, but the file is "
                "missing or damaged. Another program may be using this folder. The same call again "
                "evaluates the parts that are missing."
            )


def _evaluate_in_process(
    evaluator: Evaluator, numbers: Sequence[int], journal: Journal | None, result: PartialResult
) -> Generator[int]:
    """Evaluate parts in this process and store them in the journal or merge them into `result`."""
    waiting = deque(numbers)
    for number, part in evaluator.parts(lambda wait: waiting.popleft() if waiting else None):
        if journal is not None:
            journal.write(number, part.to_bytes())
        else:
            with interrupts_held_back():
                result.merge(part)
        yield number
