"""Points and boxes: where to click on an object, ready for SAM."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]  # a generated image; your own path works the same
names = sorted(scene.present)

# A vocabulary lets points stay away from objects that are not there.
explainer = cs.load("demo", vocabulary="common")
explanation = explainer(scene.image, [*names, "guitar"])

for name in explanation.texts:
    [[clicks]] = cs.points(explanation, name, rule="peaks", min_presence=0.3)
    print(name, clicks.positives.tolist(), clicks.negatives.tolist())
    # predictor.predict(point_coords=clicks.xy, point_labels=clicks.labels)

[[found]] = cs.boxes(explanation, names[0], rule=cs.BoxRule(count=1))
print(names[0], found[0].xyxy, round(found[0].score, 2))

# Settings are fields of frozen dataclasses.
[[one]] = cs.points(explanation, names[0], rule=cs.PeakPoints(positives=1, negatives=0))
print(one.xy, one.labels)
