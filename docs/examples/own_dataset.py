"""A data set of your own: a folder of images and palette masks, measured by two methods."""

from pathlib import Path

import clip_surgery as cs
from clip_surgery.evaluation import (
    SceneDataset,
    default_protocol,
    evaluate,
    markdown_table,
    open_dataset,
)
from clip_surgery.methods.registry import parse_methods

# The folder: images/NAME.png, masks/NAME.png (0 no object, i the i-th name) and names.txt.
scenes = SceneDataset(seed=11, count=12, names=("dog", "cat", "bus", "tree"))
folder = Path("mine")
(folder / "images").mkdir(parents=True, exist_ok=True)
(folder / "masks").mkdir(exist_ok=True)
(folder / "names.txt").write_text("\n".join(scenes.names), encoding="utf-8")
for number, scene in enumerate(scenes):
    scene.image.save(folder / "images" / f"{number}.png")
    cs.palette_image(scene.mask).save(folder / "masks" / f"{number}.png")

dataset = open_dataset("folder", folder)
print(dataset, dataset.names)

reports = evaluate(
    cs.load("demo"),
    dataset,
    parse_methods("similarity,clip_surgery"),
    protocol=default_protocol("folder"),
)
print(markdown_table(reports))
