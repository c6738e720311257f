"""A data set of your own: a folder of images and palette masks, evaluated with two methods."""

from pathlib import Path

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

# The folder: images/NAME.png, masks/NAME.png (0 no object, i the i-th name) and names.txt.
scenes = SceneDataset(seed=11, count=12, names=("dog", "cat", "bus", "tree"))
folder = Path("mine")
(folder / "images").mkdir(parents=True, exist_ok=True)
(folder / "masks").mkdir(exist_ok=True)
(folder / "names.txt").write_text("\n".join(scenes.names), encoding="utf-8")
for number, scene in enumerate(scenes):
    scene.image.save(folder / "images" / f"{number}.png")
    cs.palette_image(scene.mask).save(folder / "masks" / f"{number}.png")

dataset = cs.open_dataset("folder", folder)
print(dataset, dataset.names)

reports = cs.evaluate(
    cs.load("demo"),
    dataset,
    cs.parse_methods("similarity,clip_surgery"),
    protocol=cs.default_protocol("folder"),
)
print(cs.markdown_table(reports))
