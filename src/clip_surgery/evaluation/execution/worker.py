"""Worker: a process of its own that measures the parts it is told, into the journal."""

from __future__ import annotations

import pickle
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from multiprocessing.connection import Connection
from typing import Any

import torch

from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.evaluator import Evaluator
from clip_surgery.evaluation.execution.journal import Journal
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.explainer import Explainer
from clip_surgery.text.features import TextFeatures

READY = -1  # a worker says it once its model is loaded; else it names a part that is done


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """All that a worker is told at its beginning, as plain values that can be pickled."""

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
        measuring: Evaluator,
        journal: Journal,
        *,
        load: Callable[[], Explainer],
        weights: str,
        workers: int,
    ) -> Task:
        """Share out this measuring; the model itself stays, each worker loads its own."""
        explainer = measuring.explainer
        others = [one.name for one in fields(explainer) if one.init and one.name != "backbone"]
        return cls(
            load=load,
            settings={name: getattr(explainer, name) for name in others},
            weights=weights,
            plan=measuring.plan,
            texts=_on_device(measuring.texts, torch.device("cpu")),
            journal=journal,
            threads=max(1, torch.get_num_threads() // workers),
        )

    def begin(self) -> Evaluator:
        """Load the model.

        Raises:
            InputError: when it is another than the one this is about.
        """
        explainer = replace(self.load(), **self.settings)
        weights = fingerprint(explainer.backbone.model)
        if weights != self.weights:
            raise InputError(
                f"Expected `load` to give the model that is measured, of weights {self.weights}, "
                f"but it gave weights {weights}."
            )
        texts = _on_device(self.texts, explainer.backbone.device)
        return Evaluator(plan=self.plan, explainer=explainer, texts=texts)


def work(line: Connection, content: bytes) -> None:
    """What a worker does: load the model, then parts until the line is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever began this process will end it

    def next_number(waiting: bool) -> int | None:
        return line.recv() if waiting or line.poll() else None

    try:
        task: Task = pickle.loads(content)
        torch.set_num_threads(task.threads)
        measuring = task.begin()
        line.send(READY)
        for number, found in measuring.parts(next_number):
            task.journal.write(number, found.to_bytes())
            line.send(number)
    except (EOFError, ConnectionError):  # nobody is there any more
        return
    except Exception as error:
        line.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """The error as it can be sent, with where it happened as a note."""
    where = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an error that holds what cannot be pickled, or is not made of its args
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.__cause__ = None
    error.add_note(f"In a process for measuring:\n{where}")
    return error


def _on_device(texts: TextFeatures, device: torch.device) -> TextFeatures:
    return replace(
        texts,
        labels=texts.labels.to(device),
        empty=texts.empty.to(device),
        reference=None if texts.reference is None else texts.reference.to(device),
    )
