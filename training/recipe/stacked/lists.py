"""The lists of variants that are trained together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from recipe.config import CONFIGS, Config, Schedule
from recipe.study import CHANGES, TRIAL, TRIAL_LENGTH

EVERY = 7
"""One scene in so many is described by words outside the label set."""
BASE = dataclasses.replace(
    CONFIGS["cpu"], samples=480_000, minutes=1e6, described_every=EVERY, average_decay=0.999
)
"""The recipe and length of the first edition, with words outside the label set and averaged
weights."""
MANY_SEEDS = range(7, 14)
TWO_SEEDS = (7, 8)


def variants(
    base: Config, changes: Mapping[str, Mapping[str, object]], seeds: Iterable[int]
) -> dict[str, Config]:
    """Configurations by "NAME.SEED", with the names as they are written in paths."""
    return {
        f"{name.replace(', ', '-').replace(' ', '_')}.{seed}": dataclasses.replace(
            base,
            **change,  # type: ignore[arg-type]
            seed=seed,
        )
        for name, change in changes.items()
        for seed in seeds
    }


SINGLE = {
    name: change
    for name, change in CHANGES.items()
    if name not in ("shipped", "trial") and not name.endswith("all patches")
}
BOTH: Mapping[str, Mapping[str, object]] = {"shipped": {}, "trial": TRIAL}
TRIAL_SCHEDULE = dataclasses.replace(BASE, schedule=TRIAL_LENGTH.schedule)
ALL_PATCHES = dataclasses.replace(BASE, schedule=Schedule(keep=((1.0, 1.0),)))
LISTS: dict[str, dict[str, Config]] = {
    "study": {
        **variants(BASE, BOTH, MANY_SEEDS),
        **variants(BASE, SINGLE, TWO_SEEDS),
        **variants(BASE, {"shipped, without described scenes": {"described_every": 0}}, TWO_SEEDS),
    },
    "trial schedule": variants(TRIAL_SCHEDULE, {"trial": TRIAL}, range(7, 15)),
    "all patches": {
        f"{name}-all_patches.{seed}": dataclasses.replace(ALL_PATCHES, **change, seed=seed)  # type: ignore[arg-type]
        for name, change in BOTH.items()
        for seed in TWO_SEEDS
    },
}
