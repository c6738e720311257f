"""Inspection: the two findings of the paper in one image."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]
explainer = cs.load("demo")

# What the patch at a point attends to: CLIP's own attention, and that of values among themselves.
for found in cs.attention(explainer, scene.image, (48, 60)):
    cs.overlay(scene.image, found.heatmap()).save(f"attention-{found.kind}.png")
    print(found.kind, found.patch, round(float(found.weights.max()), 3))

# How much of each word's map the map of the empty text explains.
names = sorted(scene.present)
[shared] = cs.redundancy(explainer, [scene.image], names)
for name, share in zip(names, shared.shares.tolist(), strict=True):
    print(f"{name:12} {share:.0%}")
