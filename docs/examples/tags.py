"""Find which of many texts are in an image."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scenes = SceneDataset(seed=11, count=3)
explainer = cs.load("demo")
explanation = explainer([scene.image for scene in scenes], scenes.names)

for scene, tags in zip(scenes, cs.tags(explanation, top=4), strict=True):
    print(sorted(scene.present), [(tag.text, round(tag.score, 2)) for tag in tags])

# The probability in [0, 1] that a text is in the image, independent of the other texts.
presence = cs.presence(explanation)
print(tuple(presence.shape), float(presence.min()), float(presence.max()))

# Heatmaps that are multiplied by the presence: those of absent texts are faint.
maps = cs.heatmaps(explanation, contrast="presence")
print(maps[0].amax(dim=(1, 2)).topk(3).values.tolist())
