"""`clip-surgery calibrate`: fit the presence of a model to labelled images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.evaluation_options import DatasetRoot, DatasetSplit
from clip_surgery.apps.cli.shared.model_options import BatchSize, ExplainerOptions
from clip_surgery.apps.cli.shared.option_groups import with_options

MISS_RATES = (0.05, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True)
class CalibratedModel(ExplainerOptions):
    """The model that is calibrated."""

    batch_size: BatchSize = 16


@with_options
def calibrate(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Data set with labels, as for 'clip-surgery evaluate', or folder for images with "
            "masks or a COCO JSON of your own.",
            metavar="DATASET",
        ),
    ],
    model: CalibratedModel,
    root: DatasetRoot = None,
    split: DatasetSplit = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Number of images, evenly spaced.", show_default="300"),
    ] = 300,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the generated scenes.")] = None,
) -> None:
    """Fit the probability of presence of a model to labelled images.

    clip-surgery calibrate folder --root my_images --model open_clip:ViT-B-16/openai

    The result is kept beside the cache of text features. Later commands with the same model and
    templates find it there: presence is then calibrated for images like these, and
    'clip-surgery tag' can promise a miss rate or a false discovery rate.
    """
    import torch

    from clip_surgery.apps.cli.shared.evaluation_run import open_images
    from clip_surgery.apps.cli.shared.tables import Number, show_rows
    from clip_surgery.errors import InputError
    from clip_surgery.evaluation.calibration import calibrate_presence

    if model.no_cache:
        raise InputError("Expected a cache to store the calibration in, but got --no-cache.")
    images = open_images(dataset, root, split=split, seed=seed, count=count)
    explainer = model.load()
    with console.status(f"explaining {len(images)} images"):
        rule = calibrate_presence(explainer, images)
    present = [score for image in rule.present for score in image]
    rows = []
    for rate in MISS_RATES:
        threshold = rule.threshold(rate)
        score = float(torch.logit(torch.tensor(threshold, dtype=torch.float64)))
        false = sum(value >= score for value in rule.absent) / len(rule.absent)
        rows.append((f"{rate:.0%}", f"{threshold:.4g}", f"{false:.2%}"))
    show_rows(("misses", Number("presence"), Number("absent texts kept")), rows)
    console.result(
        f"calibrated on {len(rule.present)} images, {len(present)} present and "
        f"{len(rule.absent)} absent texts."
    )
    path = explainer.presence_rule_path()
    if path is not None:
        console.notice(f"the calibration is in {path}")
