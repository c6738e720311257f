"""Compute one heatmap per text, which shows where the image matches the text."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]  # a generated image; your own path works the same
names = sorted(scene.present)

explainer = cs.load("demo")  # or "open_clip:ViT-B-16/openai"
explanation = explainer(scene.image, names)
[maps] = cs.heatmaps(explanation)
print(tuple(maps.shape), float(maps.min()), float(maps.max()))
cs.overlay(scene.image, maps[0]).save("overlay.png")

explanation.save("explanation.safetensors")
print(cs.Explanation.load("explanation.safetensors").texts)
