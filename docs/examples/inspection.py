"""Show the two problems of CLIP's own map, as described in the paper, on one image."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]
explainer = cs.load("demo")

# Attention of the patch at a point: query-key attention, as in CLIP, and value-value attention.
for attention_map in cs.attention(explainer, scene.image, (48, 60)):
    cs.overlay(scene.image, attention_map.heatmap()).save(f"attention-{attention_map.kind}.png")
    print(attention_map.kind, attention_map.patch, round(float(attention_map.weights.max()), 3))

# Share of each text's map that is explained by the map of the empty text.
names = sorted(scene.present)
[shared] = cs.redundancy(explainer, [scene.image], names)
for name, share in zip(names, shared.shares.tolist(), strict=True):
    print(f"{name:12} {share:.0%}")
