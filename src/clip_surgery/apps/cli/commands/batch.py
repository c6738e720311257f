"""`clip-surgery batch`: many images to Parquet, over processes or a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.method_options import MethodOptions, PresetOption
from clip_surgery.apps.cli.shared.model_options import ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import OutFolder
from clip_surgery.apps.cli.shared.point_options import PointOptions
from clip_surgery.apps.cli.shared.presence_option import MinPresence
from clip_surgery.apps.cli.shared.segmenter_option import SEGMENTER_HELP
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.apps.batch.job import Job, TaskSettings
    from clip_surgery.apps.batch.run import Engine, Summary
    from clip_surgery.segmenters.segmenter import Segmenter

RUNNING = "Running"


class EngineName(StrEnum):
    """The engines that start workers."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """Which engine runs the workers, and how many there are."""

    engine: Annotated[
        EngineName,
        typer.Option(help="Processes of this machine, or Ray.", rich_help_panel=RUNNING),
    ] = EngineName.LOCAL
    address: Annotated[
        str | None,
        typer.Option(
            help="A running Ray cluster, as ray://HOST:10001 or auto.", rich_help_panel=RUNNING
        ),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=RUNNING, show_default=False,
            help="Number of models that run in parallel; by default one per GPU or per four cores.",
        ),
    ] = None  # fmt: skip
    shard_size: Annotated[
        int | None,
        typer.Option(
            min=1, rich_help_panel=RUNNING, show_default=False,
            help="Images in each result file; chosen by their number by default.",
        ),
    ] = None  # fmt: skip

    def build(self, device: str) -> Engine:
        """Build the engine for a model on this device.

        Raises:
            InputError: if an address is given without Ray, or Ray is to use a GPU by its number.
        """
        import torch

        from clip_surgery.apps.batch import local_engine
        from clip_surgery.apps.batch.local_engine import LocalEngine

        gpus = torch.cuda.device_count() if device in ("auto", "cuda") else 0
        workers = self.workers or local_engine.default_workers(
            device, gpus=gpus, cores=local_engine.available_cores()
        )
        if self.engine is EngineName.LOCAL:
            if self.address is not None:
                raise InputError("--address is for --engine ray.")
            return LocalEngine(workers=workers, gpus=gpus)
        if device.startswith("cuda:"):
            raise InputError(
                f"--device {device} names a GPU of one machine; with --engine ray give "
                "--device cuda, and Ray assigns a GPU to each worker."
            )
        from clip_surgery.apps.batch.ray_engine import RayEngine

        with_gpus = device == "auto" or device.startswith("cuda")
        return RayEngine(workers=workers, address=self.address, with_gpus=with_gpus)


@with_options
def batch(
    source: Annotated[
        list[str],
        typer.Argument(help="Folders, files or quoted patterns of images, or Parquet files."),
    ],
    method_options: MethodOptions,
    model: ExplainerOptions,
    point_options: PointOptions,
    engine_options: EngineOptions,
    labels: Annotated[
        Path | None, typer.Option(help="A file with one text per line.", metavar="FILE")
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="A text.")] = None,
    out: OutFolder = Path("out"),
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Remove the results of an earlier run first."),
    ] = False,
    tasks: Annotated[
        str | None,
        typer.Option(
            help="What to compute, separated by commas: scores, presence, points, boxes, masks, "
            "maps, features (of images, for search --index; needs no texts). Default: all but "
            "features.",
            show_default=False,
        ),
    ] = None,
    segmenter: Annotated[
        str | None,
        typer.Option(help=SEGMENTER_HELP),
    ] = None,
    min_presence: MinPresence = None,
    preset: PresetOption = None,
    column: Annotated[
        str | None, typer.Option(help="Column of a Parquet file with paths or bytes of images.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Column of a Parquet file with names of images.")
    ] = None,
) -> None:
    """Explain many images and write one row for each to Parquet files.

    clip-surgery batch photos/ --labels labels.txt --out rows/ --workers 2

    An interrupted run continues when the same command is given again. Results for other images,
    texts or options are not replaced without --overwrite.
    """
    from clip_surgery.apps.batch.job import Job
    from clip_surgery.apps.batch.run import run
    from clip_surgery.apps.batch.sources import open_source
    from clip_surgery.inputs.texts import check_texts, read_labels

    settings = _task_settings(tasks, point_options, min_presence)
    given = [*(text or ()), *(read_labels(labels) if labels else ())]
    texts = check_texts(given) if given or settings.needs_texts else ()
    if segmenter is not None and "masks" not in settings.tasks:
        raise InputError("--segmenter computes masks, which are not among --tasks.")
    job = Job(
        source=open_source(source, column=column, key=key),
        texts=texts,
        load=model.recipe(method=method_options.build_for(preset, segmenter)),
        settings=settings,
        segmenter=_segmenter(segmenter, model.device),
        shard_size=engine_options.shard_size,
    )
    engine = engine_options.build(model.device)
    if overwrite:
        remove_results(out)
    with console.progress("explaining", total=len(job.source)) as advance:
        summary = run(job, out, engine, on_progress=advance)
    _finish(summary, out, job)


def _task_settings(
    tasks: str | None, point_options: PointOptions, min_presence: float | None
) -> TaskSettings:
    from clip_surgery.apps.batch.job import DEFAULT_TASKS, TaskSettings

    names = tuple(name.strip() for name in tasks.split(",")) if tasks is not None else DEFAULT_TASKS
    return TaskSettings(
        tasks=tuple(dict.fromkeys(names)),  # type: ignore[arg-type]  # TaskSettings checks them
        points=point_options.build(),
        min_presence=min_presence,
    )


def remove_results(folder: Path) -> None:
    """Remove the result files of an earlier run from a folder; other files stay.

    Raises:
        InputError: if another run is writing to the folder, or a file cannot be removed.
    """
    from clip_surgery.apps.batch.result_folder import LOCK, MANIFEST
    from clip_surgery.storage.file_lock import take_lock

    files = [path for path in (folder / MANIFEST, *folder.glob("part-*.parquet")) if path.exists()]
    if not files:
        return
    try:
        with (folder / LOCK).open("ab") as lock:
            if not take_lock(lock.fileno()):
                raise InputError(f"{folder}: another run is writing there.")
            for path in files:
                path.unlink()
    except OSError as error:
        raise InputError(f"{folder}: cannot be emptied ({error.strerror}).") from error


def _segmenter(name: str | None, device: str) -> partial[Segmenter] | None:
    if name is None:
        return None
    from clip_surgery.segmenters.registry import load_segmenter

    return partial(load_segmenter, name, device=device)


def _finish(summary: Summary, out: Path, job: Job) -> None:
    """Print one line with the numbers of rows and files.

    Raises:
        typer.Exit: with code 1 if some rows are errors.
    """
    errors = f", {summary.errors:,} of them errors" if summary.errors else ""
    rate = f", {summary.rate:.1f} rows/s" if summary.made else " (nothing was left to do)"
    before = summary.rows - summary.made
    kept = f", {before:,} of them from before" if before and summary.made else ""
    console.result(
        f"{summary.rows:,} rows{errors}{kept} in {summary.shards:,} files of {out}{rate}"
    )
    if summary.errors:
        console.notice("the column error gives the reason for each of them.")
        raise typer.Exit(1)
