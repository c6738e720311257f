"""Photographs as arrays: cut into files that travel, decoded once, held on the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from clip_surgery.errors import WeightsError
from recipe.photographs.concepts import Concepts

SIDE = 64
COLUMNS = ("label", "box", "image")


@dataclass(frozen=True, kw_only=True, eq=False)
class Photographs:
    """N photographs: pixels (N, 3, 64, 64) uint8, classes (N,) int64, boxes (N, 4) float32.

    A box is (left, upper, right, lower) in -1 to 1 of the picture, as grid_sample counts.
    """

    pixels: Tensor
    classes: Tensor
    boxes: Tensor

    def __len__(self) -> int:
        return len(self.classes)


def pack(folder: Path, out: Path, largest: int) -> list[Path]:
    """Cut the training files of `folder` into files below `largest` bytes; val goes along."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for source in (*sorted(folder.glob("train*.parquet")), folder / "val.parquet"):
        table = pq.read_table(source, columns=list(COLUMNS))
        pieces = -(-source.stat().st_size // largest)
        for number, rows in enumerate(np.array_split(np.arange(len(table)), pieces)):
            path = out / f"{source.stem}-{number}.parquet"
            pq.write_table(table.slice(int(rows[0]), len(rows)), path, compression="none")
            written.append(path)
    (out / "classes.json").write_bytes((folder / "classes.json").read_bytes())
    return [*written, out / "classes.json"]


def decode(file: Path, out: Path, concepts: Concepts, limit: int | None = None) -> Path:
    """Decode one parquet file of photographs into an .npz of arrays beside the others in `out`.

    Raises:
        WeightsError: the file is no parquet file of photographs.
    """
    try:
        table = pq.read_table(file, columns=list(COLUMNS))
    except (OSError, pa.ArrowException) as error:
        raise WeightsError(f"Expected photographs in parquet, but got {file}: {error}") from error
    rows = table.slice(0, limit or len(table))
    position = {key: index for index, key in enumerate(concepts.keys)}
    pixels = np.stack(list(_pictures(rows["image"].to_pylist())))
    classes = np.array([position[label] for label in rows["label"].to_pylist()])
    corners = np.array(rows["box"].to_pylist(), np.float32) + np.array([0, 0, 1, 1], np.float32)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{file.stem}.npz"
    np.savez(path, pixels=pixels, classes=classes, boxes=corners / SIDE * 2 - 1)
    return path


def _pictures(encoded: list[bytes]) -> Iterator[np.ndarray]:
    for data in encoded:
        with Image.open(BytesIO(data)) as opened:
            yield np.asarray(opened.convert("RGB")).transpose(2, 0, 1)


def load(folder: Path, prefix: str, device: str) -> Photographs:
    """All decoded photographs whose file names begin with the prefix, on the device.

    Raises:
        WeightsError: there are none.
    """
    files = sorted(folder.glob(f"{prefix}*.npz"))
    if not files:
        raise WeightsError(f"Expected decoded photographs {prefix}*.npz, but {folder} has none")
    parts = [dict(np.load(file)) for file in files]
    whole = {key: torch.from_numpy(np.concatenate([p[key] for p in parts])) for key in parts[0]}
    return Photographs(**{key: value.to(device) for key, value in whole.items()})
