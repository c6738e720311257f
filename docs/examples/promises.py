"""Calibrate presence on labelled images, then promise a miss rate or a false discovery rate."""

from dataclasses import replace

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

explainer = cs.load("demo", templates="photo")
rule = cs.calibrate_presence(explainer, SceneDataset(seed=21, count=40), store=False)
explainer = replace(explainer, presence_rule=rule)

# The highest presence that misses at most 10 % of the present texts, for any task.
threshold = rule.threshold(miss_rate=0.1)
scenes = SceneDataset(seed=22, count=5)
explanation = explainer([scene.image for scene in scenes], scenes.names)
print(f"threshold {threshold:.3f}")
for scene, tags in zip(scenes, cs.tags(explanation, min_presence=threshold), strict=True):
    print(sorted(scene.present), sorted(tag.text for tag in tags))

# p-values, adjusted for the 64 texts: at most 10 % of these tags are absent on average.
p_values = cs.presence_p_values(explanation, adjust=True)
print(tuple(p_values.shape), float(p_values.min()))
print([[tag.text for tag in tags] for tags in cs.tags(explanation, false_discovery_rate=0.1)])
