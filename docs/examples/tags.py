"""Tags and presence: which of many words are in an image."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scenes = SceneDataset(seed=11, count=3)
explainer = cs.load("demo", vocabulary="common")
explanation = explainer([scene.image for scene in scenes], scenes.names)

for scene, found in zip(scenes, cs.tags(explanation, top=4), strict=True):
    print(sorted(scene.present), [(tag.text, round(tag.score, 2)) for tag in found])

# How likely a word is in the image at all, in [0, 1], whatever the other words are.
likely = cs.presence(explanation)
print(tuple(likely.shape), float(likely.min()), float(likely.max()))

# Heatmaps that stay faint for what is not there.
maps = cs.heatmaps(explanation, contrast="presence")
print(maps[0].amax(dim=(1, 2)).topk(3).values.tolist())
