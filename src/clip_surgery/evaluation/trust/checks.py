"""The checks by name: what each measures, and the value of one map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.evaluation.trust.case import ABSENT, MethodOnCase
from clip_surgery.evaluation.trust.mosaic import mosaic, tile_share
from clip_surgery.evaluation.trust.perturbation import RandomSets, insertion_minus_deletion, road
from clip_surgery.evaluation.trust.rank_correlation import rank_correlation


@dataclass(frozen=True, kw_only=True, eq=False)
class Checked:
    """A map under test, and what the checks share.

    Attributes:
        on: the method and the case.
        shared: scores of the case that all methods share.
        randomised: randomised copies of the model by the name of their stage.
    """

    on: MethodOnCase
    shared: RandomSets
    randomised: Mapping[str, Backbone]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check.

    Attributes:
        title: the column of tables.
        about: one sentence about the value.
        higher_is_better: whether a good map has a high value.
        measure: the value of a map; None if the case does not allow it.
    """

    title: str
    about: str
    higher_is_better: bool
    measure: Callable[[Checked], float | None]


def randomisation(checked: Checked) -> float | None:
    """Return the mean over stages of the correlation with the map of a randomised model."""
    return _mean(list(correlations_by_stage(checked).values()))


def correlations_by_stage(checked: Checked) -> dict[str, float]:
    """Return the correlation with the map of the randomised model at each stage."""
    on = checked.on
    trained = on.explain(on.case.pixels, on.target_text)[0]
    values = {}
    for stage, backbone in checked.randomised.items():
        explainer = replace(on.explainer, backbone=backbone)
        other = on.explain(on.case.pixels, on.target_text, explainer)[0]
        values[stage] = rank_correlation(trained, other)
    return values


def absent_words(checked: Checked) -> float | None:
    """Return the mean correlation of the map with those of absent words."""
    maps = checked.on.maps[1 : 1 + len(checked.on.case.absent)]
    return _mean([rank_correlation(checked.on.map, other) for other in maps])


def nonsense(checked: Checked) -> float | None:
    """Return the mean correlation of the map with those of texts without meaning."""
    maps = checked.on.maps[1 + len(checked.on.case.absent) :]
    return _mean([rank_correlation(checked.on.map, other) for other in maps])


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def flip(checked: Checked) -> float:
    """Return the correlation of the map with that of the mirrored image, mirrored back."""
    on = checked.on
    mirrored = on.explain(on.case.pixels.flip(-1), on.case.text)[0]
    return rank_correlation(on.map, mirrored.flip(-1))


def mosaic_localisation(checked: Checked) -> float | None:
    """Return the share of positive evidence in the tile of the object."""
    on, case = checked.on, checked.on.case
    if len(case.others) < 3:
        return None
    position = case.seed % 4
    images = [*case.others[:position], case.image, *case.others[position:]]
    side = case.explainer.backbone.image_size
    picture = mosaic(images, tile=side)
    # Twice the input size: objects keep the size in patches at which the model is used.
    framing = replace(case.explainer.framing, size=2 * side)
    pixels = replace(case.explainer, framing=framing).pixels(picture)
    return tile_share(on.explain(pixels, case.text)[0], position)


def _insertion(checked: Checked) -> float:
    of_map = float(insertion_minus_deletion(checked.on.case, checked.on.map[None])[0])
    return of_map - checked.shared.random_order


CHECKS: dict[str, Check] = {
    "randomisation": Check(
        title="randomised weights",
        about="Rank correlation with the map of a model whose weights are randomised from the top.",
        higher_is_better=False,
        measure=randomisation,
    ),
    "gibberish": Check(
        title="gibberish",
        about="Rank correlation with the maps of texts without meaning.",
        higher_is_better=False,
        measure=nonsense,
    ),
    "absent": Check(
        title="absent words",
        about=f"Rank correlation with the maps of {ABSENT} words that are not in the image.",
        higher_is_better=False,
        measure=absent_words,
    ),
    "road": Check(
        title="ROAD",
        about="Probability without the least relevant minus without the most relevant patches.",
        higher_is_better=True,
        measure=lambda checked: road(checked.on.case, checked.on.map),
    ),
    "insertion_deletion": Check(
        title="insertion - deletion",
        about="Area of the insertion minus the deletion curve, minus that of random orders.",
        higher_is_better=True,
        measure=_insertion,
    ),
    "sensitivity": Check(
        title="sensitivity-n",
        about="Correlation of the sum over random patches with the fall of the score without them.",
        higher_is_better=True,
        measure=lambda checked: checked.shared.sensitivity(checked.on.map),
    ),
    "mosaic": Check(
        title="mosaic",
        about="Share of the positive evidence in the right tile of a mosaic of four; chance 0.25.",
        higher_is_better=True,
        measure=mosaic_localisation,
    ),
    "flip": Check(
        title="flip",
        about="Rank correlation with the map of the mirrored image.",
        higher_is_better=True,
        measure=flip,
    ),
}
"""The checks by name, in the order of tables."""


def measure_all(checked: Checked, names: tuple[str, ...] = tuple(CHECKS)) -> dict[str, float]:
    """Return the values of a map by the name of the check; those that cannot be made are left out.

    Args:
        checked: the map under test.
        names: names of the checks.
    """
    values = {}
    with torch.no_grad():
        for name in names:
            value = CHECKS[name].measure(checked)
            if value is not None:
                values[name] = value
    return values
