"""Compute points and boxes on objects, as prompts for SAM."""

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]  # a generated image; your own path works the same
names = sorted(scene.present)

# With a vocabulary, min_presence leaves out the points of texts that are not in the image.
explainer = cs.load("demo")
explanation = explainer(scene.image, [*names, "guitar"])

for name in explanation.texts:
    [[points]] = cs.points(explanation, name, rule="peaks", min_presence=0.3)
    print(name, points.positives.tolist(), points.negatives.tolist())
    # predictor.predict(point_coords=points.xy, point_labels=points.labels)

[[boxes]] = cs.boxes(explanation, names[0], rule=cs.BoxRule(count=1))
print(names[0], boxes[0].xyxy, round(boxes[0].score, 2))

# The settings of a point rule are fields of a frozen dataclass.
[[point]] = cs.points(explanation, names[0], rule=cs.PeakPoints(positives=1, negatives=0))
print(point.xy, point.labels)
