"""Make the scene that `clip-surgery demo` explains: picture, mask and names.

Run `python training/make_demo_scene.py`; the files are part of the package.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from clip_surgery.evaluation.datasets.scenes import SceneDataset

HOME = Path(__file__).parents[1] / "src/clip_surgery/apps/cli/commands/demo_scene"
NAMES = ("dog", "zebra", "train", "rocket", "backpack")
SEED, INDEX, SIZE = 7, 255, 288
"""A scene with all five objects in which the model finds each of them."""
ABSENT = "pizza"


def main() -> None:
    scenes = SceneDataset(seed=SEED, count=INDEX + 1, size=SIZE, names=NAMES)
    scene = scenes[INDEX]
    nouns = [index for index in np.unique(scene.mask) if index >= 0]
    mask = np.zeros(scene.mask.shape, dtype=np.uint8)  # 0 background, then the objects
    for value, noun in enumerate(nouns, start=1):
        mask[scene.mask == noun] = value
    facts = {
        "made": f"{scenes!r}[{INDEX}]",
        "objects": [scenes.names[noun] for noun in nouns],
        "absent": ABSENT,
    }
    HOME.mkdir(exist_ok=True)
    scene.image.save(HOME / "scene.png", optimize=True)
    Image.fromarray(mask).save(HOME / "mask.png", optimize=True)
    (HOME / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
