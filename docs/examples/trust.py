"""Check whether the maps of a method can be believed, without masks."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset, check_methods
from clip_surgery.methods.registry import parse_methods

explainer = cs.load("demo", templates="photo")
scenes = SceneDataset(seed=31, count=2)
methods = parse_methods("clip_surgery, rollout")
report = check_methods(explainer, scenes, methods, checks=["absent", "flip", "randomisation"])
print(report.table())

# Rollout does not read the text, so its maps of absent words are the same.
print(report.values["rollout"]["absent"].mean)
