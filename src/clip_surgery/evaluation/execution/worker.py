"""Worker processes of an evaluation: each loads the model and evaluates parts into the journal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.evaluator import PARTS_IN_MEMORY, Evaluator
from clip_surgery.evaluation.execution.journal import Journal
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.explainer import Explainer
from clip_surgery.processes.worker_pool import WorkerPool
from clip_surgery.processes.worker_process import ItemReader
from clip_surgery.text.features import TextFeatures

MAX_DEATHS_PER_PART = 3


def evaluate_in_processes(
    loader: WorkerLoader, numbers: Sequence[int], *, workers: int
) -> Generator[int]:
    """Evaluate parts in worker processes and yield the number of each part that is in the journal.

    Args:
        loader: loads the worker in each process.
        numbers: numbers of the parts to evaluate.
        workers: how many processes to start, at most one for each part.

    Raises:
        InputError: if the plan or `load` cannot be pickled.
        WorkerError: if a part ended `MAX_DEATHS_PER_PART` processes, or no process can start.
        Exception: an exception that was raised in a worker process.
    """
    ranges = loader.plan.parts()

    def describe(number: int) -> str:
        return f"Working on images {ranges[number].start} to {ranges[number].stop - 1}"

    pool: WorkerPool[int, int] = WorkerPool(
        [loader] * min(workers, len(numbers)),
        items_per_worker=PARTS_IN_MEMORY,
        max_deaths_per_item=MAX_DEATHS_PER_PART,
        describe=describe,
    )
    return pool.run(lambda identity: numbers)


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationWorker:
    """An evaluator that writes its results to the journal.

    Attributes:
        evaluator: the plan and the loaded model.
        journal: where results of parts are written.
    """

    evaluator: Evaluator
    journal: Journal

    @property
    def identity(self) -> None:
        """Always None: `WorkerLoader` has compared the weights already."""
        return None

    def results(self, read_item: ItemReader) -> Iterator[int]:
        """Evaluate parts and yield the number of each once it is written."""
        for number, partial_result in self.evaluator.parts(read_item):
            self.journal.write(number, partial_result.to_bytes())
            yield number


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkerLoader:
    """Everything that a worker process needs to start, without the model itself; picklable.

    Attributes:
        load: loads the model.
        settings: fields of the explainer except its backbone.
        weights: fingerprint of the weights that `load` must return.
        plan: what is evaluated on which images.
        texts: features of the plan's texts, on the CPU.
        journal: where results of parts are written.
        threads: CPU threads of each process.
    """

    load: Callable[[], Explainer]
    settings: dict[str, Any]
    weights: str
    plan: Plan
    texts: TextFeatures
    journal: Journal
    threads: int

    @classmethod
    def of(
        cls,
        evaluator: Evaluator,
        journal: Journal,
        *,
        load: Callable[[], Explainer],
        weights: str,
        workers: int,
    ) -> WorkerLoader:
        """Take the settings of an evaluator; the threads of this process are shared by workers."""
        explainer = evaluator.explainer
        arguments = {entry.name for entry in fields(explainer) if entry.init} - {"backbone"}
        return cls(
            load=load,
            settings={name: getattr(explainer, name) for name in sorted(arguments)},
            weights=weights,
            plan=evaluator.plan,
            texts=_on_device(evaluator.texts, torch.device("cpu")),
            journal=journal,
            threads=max(1, torch.get_num_threads() // workers),
        )

    def __call__(self) -> EvaluationWorker:
        """Load the model in this process.

        Raises:
            InputError: if its weights are not those of the evaluation.
        """
        torch.set_num_threads(self.threads)
        explainer = replace(self.load(), **self.settings)
        weights = fingerprint(explainer.backbone.model)
        if weights != self.weights:
            raise InputError(
                f"Expected `load` to return the evaluated model with weights {self.weights}, "
                f"but it gave weights {weights}."
            )
        texts = _on_device(self.texts, explainer.backbone.device)
        evaluator = Evaluator(plan=self.plan, explainer=explainer, texts=texts)
        return EvaluationWorker(evaluator=evaluator, journal=self.journal)


def _on_device(texts: TextFeatures, device: torch.device) -> TextFeatures:
    return replace(
        texts,
        labels=texts.labels.to(device),
        empty=texts.empty.to(device),
        reference=None if texts.reference is None else texts.reference.to(device),
    )
