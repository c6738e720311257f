"""Collect points, boxes and masks of every text, and write them in the format of COCO."""

import json
from pathlib import Path

import clip_surgery as cs
from clip_surgery.evaluation import SceneDataset

scene = SceneDataset(seed=11, count=1)[0]
explanation = cs.load("demo")(scene.image, [*sorted(scene.present), "guitar"])

# Texts whose presence is below 0.3 have no points, boxes or mask.
[instances] = cs.instances(explanation, min_presence=0.3)
for entry in instances:
    print(f"{entry.text:10} presence {entry.presence:.2f}, {len(entry.boxes)} boxes")

annotations = []
for entry in instances.found:
    for box in entry.boxes:
        left, top, right, bottom = box.xyxy
        annotations.append(
            {
                "category_id": entry.index,
                "bbox": [left, top, right - left, bottom - top],
                "score": round(box.score, 3),
                "segmentation": entry.rle,  # run lengths, as pycocotools reads them
            }
        )
Path("annotations.json").write_text(json.dumps(annotations))
print(len(annotations), "annotations")

# With `pip install 'clip-surgery[supervision]'`:
# detections = instances.to_supervision()
