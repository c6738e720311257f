"""Settings of a training run, by name."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from clip_surgery.evaluation.datasets.scenes import ALL_NOUNS, TRAINING_NOUNS


@dataclass(frozen=True, kw_only=True)
class Model:
    """Sizes of both towers; heads are 64 wide, as OpenAI's."""

    image_size: int = 96
    patch_size: int = 8
    width: int = 128
    layers: int = 8
    text_width: int = 128
    text_layers: int = 3
    joint_width: int = 128
    positions: int = 32
    """Text positions trained; the export pads to 77."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What changes as progress goes from 0 to 1."""

    peak_rate: float = 1e-3
    warm_up: float = 0.03
    keep: tuple[tuple[float, float], ...] = ((0.4, 40 / 144), (0.7, 0.5), (1.0, 1.0))
    """(until this progress, keep this share of the patches)."""
    few_objects_until: float = 0.25
    few_objects: int = 2


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of a training on photographs."""

    until: float
    """Share of the schedule at which it ends."""
    windows: bool = False
    """One photograph at its own 64 px a canvas, and only the patches it covers; else collages."""
    keep: float = 1.0
    scenes: float = 0.0
    """Share of the batch that is whole scenes."""
    sprites: float = 0.0
    """Share of the collages that have sprites on them."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training run."""

    model: Model = field(default_factory=Model)
    schedule: Schedule = field(default_factory=Schedule)
    phases: tuple[Phase, ...] = ()
    """For photographs only."""
    nouns: tuple[str, ...] = TRAINING_NOUNS
    """The label set."""
    scene_nouns: tuple[str, ...] = TRAINING_NOUNS
    """What scenes show."""
    samples: int = 1_000_000
    minutes: float = 90.0
    batch: int = 96
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    label_weight: float = 1.0
    """Weight of the label loss; 0 trains on captions alone, which is what CLIP does."""
    labels_compete: bool = False
    """Whether the labels of one image compete with one another: cross-entropy with a uniform target
    over the present labels. Without it, each present label competes with the absent labels only."""
    labels_both_ways: bool = True
    """Whether the label loss also ranks the images for each label, not only the labels for each
    image."""
    label_templates: Literal["all", "few"] = "all"
    """The templates of the label prompts: the 85 of CLIP Surgery and the plain ones, or seven."""
    true_captions_are_negatives: bool = False
    """Whether a caption that is also true of another image of the batch is a negative of that
    image, as in CLIP's own training."""
    empty_captions: float = 0.01
    """Share of captions replaced by the empty string, so that it comes to mean "any picture"."""
    average_decay: float = 0.0
    """Decay a step of the exponential moving average of the weights, which is what is measured and
    exported; 0 for none."""
    described_every: int = 0
    """One scene in so many is described by words outside the label set: the colour or the sizes of
    its objects. 0 for none."""
    kept_blocks: int | None = None
    """If a run starts from the weights of another: how many blocks of the image tower are kept; the
    later ones and the temperature start fresh. None keeps all."""
    fresh_ends: tuple[Literal["input", "output"], ...] = ()
    """With kept_blocks: which ends of the image tower also start fresh. The input is what comes
    before the blocks; the output is the normalisation and projection after them."""
    first_scale: float = 14.3
    """The logit scale at the start; 14.3 is CLIP's 1 / 0.07."""
    seed: int = 7
    device: str = "cpu"
    half: bool = False
    """bfloat16 autocast: pays on a GPU, costs half the speed on the CPUs tried."""
    compiled: Literal["whole", "blocks", "no"] = "whole"
    """What torch.compile fuses: each forward pass as a whole, or one block, which all blocks share
    and which is compiled in a tenth of the time; or nothing."""
    text_multiple: int = 4
    """Texts are padded to a multiple of this, so that few shapes are compiled."""
    workers: int = 0
    checkpoint_minutes: float = 5.0
    log_steps: int = 50
    retrieval_steps: int = 400
    localisation_steps: int = 1200


LATER_STAGE = Config(
    schedule=Schedule(keep=((0.6, 40 / 144), (1.0, 1.0)), few_objects_until=0.0),
    samples=110_016,
    minutes=math.inf,
    described_every=7,
    average_decay=0.99,
    kept_blocks=2,
)
"""A training that starts from parts of another model."""
CONFIGS: dict[str, Config] = {
    "cpu": Config(),
    "second": dataclasses.replace(LATER_STAGE, seed=9),
    "third": dataclasses.replace(
        LATER_STAGE,
        schedule=dataclasses.replace(LATER_STAGE.schedule, keep=((0.53, 40 / 144), (1.0, 1.0))),
        samples=81_024,
        kept_blocks=4,
        seed=19,
    ),
    "tiny": Config(
        model=Model(
            image_size=32, width=64, layers=2, text_width=64, text_layers=1, joint_width=32
        ),
        nouns=TRAINING_NOUNS[:8],
        scene_nouns=TRAINING_NOUNS[:8],
        samples=2_000,
        minutes=1.0,
        batch=32,
        compiled="no",
        log_steps=5,
        retrieval_steps=20,
        localisation_steps=60,
    ),
    "gpu": Config(
        model=Model(image_size=128, width=256, layers=12, text_layers=4, joint_width=256),
        schedule=Schedule(keep=((0.4, 0.5), (0.8, 0.75), (1.0, 1.0))),
        nouns=ALL_NOUNS,
        scene_nouns=ALL_NOUNS,
        samples=12_000_000,
        minutes=25.0,
        batch=1024,
        device="cuda",
        half=True,
        workers=14,
        checkpoint_minutes=2.0,
    ),
    "photographs": Config(
        model=Model(
            image_size=128, width=256, layers=12, text_layers=4, joint_width=256, positions=48
        ),
        schedule=Schedule(peak_rate=1.5e-3, warm_up=0.05),
        phases=(
            Phase(until=0.55, windows=True),
            Phase(until=0.85, keep=0.5, scenes=0.1, sprites=0.3),
            Phase(until=1.0, scenes=0.1, sprites=0.3),
        ),
        scene_nouns=ALL_NOUNS,
        samples=20_000_000,
        minutes=3.5,
        batch=1024,
        first_scale=25.0,
        text_multiple=24,
        device="cuda",
        half=True,
        compiled="blocks",
        workers=14,
        checkpoint_minutes=1.0,
        log_steps=100,
        retrieval_steps=1500,
        localisation_steps=1_000_000,
    ),
}
