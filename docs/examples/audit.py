"""Find out what labels are read from over images, and write one HTML page."""

from pathlib import Path

import clip_surgery as cs
from clip_surgery.audits.html_report import html_report
from clip_surgery.audits.run import audit
from clip_surgery.evaluation import SceneDataset

scenes = SceneDataset(seed=41, count=4)
paths = []
for number, scene in enumerate(scenes):
    folder = Path("photos") / min(scene.present)  # the true label is the name of the folder
    folder.mkdir(parents=True, exist_ok=True)
    paths.append(folder / f"{number}.png")
    scene.image.save(paths[-1])

explainer = cs.load("demo", templates="photo")
words = ("water", "grass", "sky", "snow", "wall", "room")
report, regions = audit(explainer, paths, scenes.names, vocabulary=words)
for finding in report.findings[:3]:
    print(finding.label, "is read from", finding.word, finding.share.text(), finding.flagged)
Path("audit.html").write_text(html_report(explainer, report, regions), encoding="utf-8")
print(len(report.images), "images")
