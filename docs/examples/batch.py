"""Batch: explain many images and write one row each to Parquet. The same call resumes the job.

On the command line: clip-surgery batch photos/ --labels labels.txt --out rows/ --workers 2
"""

from functools import partial
from pathlib import Path

import pyarrow.parquet

import clip_surgery as cs
from clip_surgery import batch
from clip_surgery.evaluation import SceneDataset

if __name__ == "__main__":  # worker processes import this file too
    Path("photos").mkdir(exist_ok=True)
    for number, scene in enumerate(SceneDataset(seed=11, count=6)):
        scene.image.save(f"photos/{number}.png")
    Path("photos/notes.jpg").write_text("not an image")

    job = batch.Job(
        source=batch.open_source(["photos"]),  # or Parquet files with paths or bytes
        texts=("dog", "car", "boat"),
        load=partial(cs.load, "demo"),
        settings=batch.TaskSettings(tasks=("scores", "points", "boxes", "masks", "maps")),
    )
    engine = batch.LocalEngine(workers=1)  # or batch.RayEngine(workers=8, address="auto")
    summary = batch.run(job, "rows", engine)
    print(summary.rows, "rows,", summary.errors, "error")

    for row in pyarrow.parquet.read_table("rows").to_pylist():
        if row["error"]:
            print(row["error"])
            continue
        best = max(range(len(row["texts"])), key=row["scores"].__getitem__)
        points = [(point["x"], point["y"]) for point in row["points"][best] if point["label"]]
        print(row["path"], row["texts"][best], points, tuple(batch.maps_of(row).shape))
