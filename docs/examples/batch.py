"""Batch: many images into Parquet, one row each. Called again, it goes on.

On the command line: clip-surgery batch pictures/ --labels labels.txt --out rows/ --workers 2
"""

from functools import partial
from pathlib import Path

import pyarrow.parquet

import clip_surgery as cs
from clip_surgery.apps.batch.job import Asking, Job
from clip_surgery.apps.batch.local_engine import LocalEngine
from clip_surgery.apps.batch.rows import maps_of
from clip_surgery.apps.batch.run import run
from clip_surgery.apps.batch.sources import open_source
from clip_surgery.evaluation import SceneDataset

if __name__ == "__main__":  # worker processes read this file too
    Path("pictures").mkdir()
    for number, scene in enumerate(SceneDataset(seed=11, count=6)):
        scene.image.save(f"pictures/{number}.png")
    Path("pictures/notes.jpg").write_text("not an image")

    job = Job(
        source=open_source(["pictures"]),  # or Parquet of paths or bytes
        texts=("dog", "car", "boat"),
        load=partial(cs.load, "demo"),
        asking=Asking(tasks=("scores", "points", "boxes", "masks", "maps")),
    )
    summary = run(job, "rows", LocalEngine(workers=1))  # or RayEngine(workers=8, address="auto")
    print(summary.rows, "rows,", summary.errors, "error")

    for row in pyarrow.parquet.read_table("rows").to_pylist():
        if row["error"]:
            print(row["error"])
            continue
        best = max(range(len(row["texts"])), key=row["scores"].__getitem__)
        clicks = [(click["x"], click["y"]) for click in row["points"][best] if click["label"]]
        print(row["path"], row["texts"][best], clicks, tuple(maps_of(row).shape))
