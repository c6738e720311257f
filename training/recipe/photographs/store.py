"""Photographs as arrays: cut into files that travel, decoded once, held on the device."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clip_surgery.errors import WeightsError
from recipe.photographs.concepts import Concepts

SIDE = 64
COLUMNS = ("label", "box", "image")
PART = 1000
"""Photographs decoded at once by one process."""


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


def pack(
    folder: Path,
    out: Path,
    largest: int,
    *,
    quality: int | None = None,
    held_out: int | None = None,
) -> list[Path]:
    """Divide the photographs of `folder` into files of at most about `largest` bytes.

    quality: encode the training photographs again as WebP of this quality. held_out: only so many
    rows of `val`, which is never encoded again, because the model is measured on it.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for source in (*sorted(folder.glob("train*.parquet")), folder / "val.parquet"):
        table = pq.read_table(source, columns=list(COLUMNS))
        if source.stem == "val":
            table = table.slice(0, held_out or len(table))
        elif quality is not None:
            images = [encoded_again(data, quality) for data in table["image"].to_pylist()]
            table = table.set_column(2, "image", pa.array(images, pa.binary()))
        pieces = -(-table.nbytes // largest)
        for number, rows in enumerate(np.array_split(np.arange(len(table)), pieces)):
            path = out / f"{source.stem}-{number}.parquet"
            pq.write_table(table.slice(int(rows[0]), len(rows)), path, compression="none")
            written.append(path)
    (out / "classes.json").write_bytes((folder / "classes.json").read_bytes())
    return [*written, out / "classes.json"]


def encoded_again(data: bytes, quality: int) -> bytes:
    """The same photograph as a WebP of another quality (0 to 100)."""
    encoded = BytesIO()
    with Image.open(BytesIO(data)) as opened:
        opened.convert("RGB").save(encoded, "WEBP", quality=quality, method=6)
    return encoded.getvalue()


def decode(
    file: Path, out: Path, concepts: Concepts, limit: int | None = None, workers: int = 0
) -> Path:
    """Decode one parquet file of photographs into an .npz of arrays in the folder `out`.

    workers: number of processes, 0 for this one.

    Raises:
        WeightsError: the file is no parquet file of photographs.
    """
    try:
        table = pq.read_table(file, columns=list(COLUMNS))
    except (OSError, pa.ArrowException) as error:
        raise WeightsError(f"Expected photographs in parquet, but got {file}: {error}") from error
    rows = table.slice(0, limit or len(table))
    position = {key: index for index, key in enumerate(concepts.keys)}
    encoded = rows["image"].to_pylist()
    parts = [encoded[first : first + PART] for first in range(0, len(encoded), PART)]
    with ExitStack() as stack:
        together: Any = map
        if workers:  # forked: this process uses no GPU, and to spawn takes longer than to decode
            pool = ProcessPoolExecutor(workers, get_context("fork"))
            together = stack.enter_context(pool).map
        pixels = np.concatenate(list(together(decoded_pixels, parts)))
    classes = np.array([position[label] for label in rows["label"].to_pylist()])
    corners = np.array(rows["box"].to_pylist(), np.float32) + np.array([0, 0, 1, 1], np.float32)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{file.stem}.npz"
    np.savez(path, pixels=pixels, classes=classes, boxes=corners / SIDE * 2 - 1)
    return path


def decoded_pixels(encoded: list[bytes]) -> NDArray[np.uint8]:
    """Pixels (N, 3, 64, 64) of encoded images."""
    pixels = np.empty((len(encoded), 3, SIDE, SIDE), np.uint8)
    for row, data in zip(pixels, encoded, strict=True):
        with Image.open(BytesIO(data)) as opened:
            row[:] = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
    return pixels


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
