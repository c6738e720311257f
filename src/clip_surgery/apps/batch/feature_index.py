"""Image features in Parquet: written by the task `features`, and read to search without the model.

The features are the model's own, scaled to length 1. The footer of each file records the model, so
that features of another one are not compared with its texts. What a file holds is not trusted.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.apps.batch.arrow import require_arrow
from clip_surgery.apps.batch.job import ModelIdentity
from clip_surgery.apps.batch.parquet_tables import open_parquet
from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable

METADATA = b"clip_surgery.features"
"""Key of the footer that records the model of the column `features`, as JSON."""
MAX_VALUES = 2**31
"""Maximum number of values of all features of an index, 8 GiB."""
_ROWS_PER_READ = 4096
_LENGTH_TOLERANCE = 1e-3
_SHOWN = 60


@dataclass(frozen=True, kw_only=True, eq=False)
class FeatureIndex:
    """Images with their features.

    Attributes:
        paths: paths of n images, as the batch was given them.
        features: (n, D) of length 1, float32.
        modified: when each file had been changed, in nanoseconds since 1970; None where that is
            unknown.
        model: the properties of the model that the features depend on.
    """

    paths: tuple[str, ...]
    features: Tensor
    modified: tuple[int | None, ...]
    model: ModelIdentity

    def check_model(self, model: ModelIdentity) -> None:
        """Compare the model of the index with a loaded one.

        Raises:
            InputError: if they differ.
        """
        for name, expected in model.items():
            if self.model.get(name) != expected:
                raise InputError(
                    f"The index is of another model: its {name} is "
                    f"{_excerpt(self.model.get(name))} and not {_excerpt(expected)}. Load that "
                    "model, or compute the index again (batch --tasks features --overwrite)."
                )


def read_feature_index(path: Path) -> FeatureIndex:
    """Read the features of a Parquet file, or of all Parquet files of a folder.

    Rows of images that could not be read are left out.

    Raises:
        InputError: if there is no file, one is damaged or holds no usable features, or the files
            are of different models.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{printable(path)}: expected Parquet files in this folder, but got none.")
    paths: list[str] = []
    parts: list[NDArray[np.float32]] = []
    times: list[int | None] = []
    models: list[ModelIdentity] = []
    for file in files:
        room = MAX_VALUES - sum(part.size for part in parts)
        model, names, features, modified = _read(file, room=room)
        models.append(model)
        paths += names
        parts += features
        times += modified
        if model != models[0]:
            raise InputError(f"{printable(file)}: of another model than the files before it.")
        if len({part.shape[1] for part in parts}) > 1:
            raise InputError(f"{printable(file)}: expected features of one length in all rows.")
    if not parts:
        raise InputError(f"{printable(path)}: expected rows with features, but got none.")
    return FeatureIndex(
        paths=tuple(paths),
        features=torch.from_numpy(np.concatenate(parts)),
        modified=tuple(times),
        model=models[0],
    )


def features_metadata(model: ModelIdentity) -> dict[bytes, bytes]:
    """Return the entry of the footer of a file with features of this model."""
    return {METADATA: json.dumps(model, sort_keys=True).encode()}


def _read(
    path: Path, *, room: int
) -> tuple[ModelIdentity, list[str], list[NDArray[np.float32]], list[int | None]]:
    """Return the model of a file, and the paths, features and times of its images.

    Args:
        path: the file.
        room: maximum number of values of all features.
    """
    arrow = require_arrow()
    name = printable(path)
    paths: list[str] = []
    parts: list[NDArray[np.float32]] = []
    times: list[int | None] = []
    try:
        with open_parquet(os.fspath(path)) as parquet:
            model = _model(name, (parquet.metadata.metadata or {}).get(METADATA))
            _check_columns(name, parquet.schema_arrow)
            has_times = "modified" in parquet.schema_arrow.names  # not in early indices
            columns = ["path", "features", *(["modified"] if has_times else [])]
            for batch in parquet.iter_batches(batch_size=_ROWS_PER_READ, columns=columns):
                column = batch.column("features")
                usable = batch.filter(column.is_valid()) if column.null_count else batch
                if usable.num_rows:
                    paths += _names(name, usable.column("path"))
                    unknown = [None] * usable.num_rows
                    times += usable.column("modified").to_pylist() if has_times else unknown
                    parts.append(_features(name, usable.column("features")))
                    room -= parts[-1].size
                if room < 0:
                    raise InputError(f"{name}: over the limit of 8 GiB of features.")
    except InputError:
        raise
    except (OSError, ValueError, arrow.ArrowException) as error:  # texts may not be UTF-8
        reason = printable(" ".join(str(error).split()))
        raise InputError(f"{name}: damaged ({reason}).") from error
    return model, paths, parts, times


def _model(name: str, content: bytes | None) -> ModelIdentity:
    if content is None:
        raise InputError(
            f"{name}: expected image features with the model they are of, but got none; "
            "make them with batch --tasks features."
        )
    try:
        model = json.loads(content)
    except (ValueError, RecursionError):
        model = None
    if not isinstance(model, dict) or not all(isinstance(value, str) for value in model.values()):
        raise InputError(f"{name}: damaged, so that the model of the features is unknown.")
    return dict(model)


def _check_columns(name: str, schema: Any) -> None:
    types = require_arrow().types
    columns = [
        ("path", "texts", types.is_string),
        ("features", "lists of float32", _is_list_of_float32),
    ]
    if "modified" in schema.names:
        columns.append(("modified", "integers of 64 bits", types.is_int64))
    for column, expected, is_expected in columns:
        if column not in schema.names:
            raise InputError(
                f"{name}: expected a column {column!r}, but it has "
                f"{printable(', '.join(schema.names))[:200]}."
            )
        if schema.names.count(column) > 1 or not is_expected(schema.field(column).type):
            got = printable(str(schema.field(column).type))[:_SHOWN]
            raise InputError(f"{name}: expected {expected} in column {column!r}, but got {got}.")


def _is_list_of_float32(column_type: Any) -> bool:
    types = require_arrow().types
    return bool(types.is_list(column_type) and types.is_float32(column_type.value_type))


def _names(name: str, column: Any) -> list[str]:
    if column.null_count:
        raise InputError(f"{name}: expected a path in each row, but got rows without.")
    names: list[str] = column.to_pylist()
    return names


def _features(name: str, column: Any) -> NDArray[np.float32]:
    """The features (n, D) of a column without null, checked."""
    lengths = np.diff(column.offsets.to_numpy())
    width = int(lengths[0])
    if width == 0 or (lengths != width).any():
        raise InputError(
            f"{name}: expected features of one length of at least 1, but got lengths from "
            f"{lengths.min()} to {lengths.max()}."
        )
    values = column.flatten()
    features: NDArray[np.float32] = values.to_numpy(zero_copy_only=False).reshape(-1, width)
    if values.null_count or not np.isfinite(features).all():
        raise InputError(f"{name}: expected finite features, but got others.")
    with np.errstate(over="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", features, features))
    if (abs(norms - 1) > _LENGTH_TOLERANCE).any():
        worst = norms[abs(norms - 1).argmax()]
        raise InputError(f"{name}: expected features of length 1, but got {worst:.3g}.")
    return features


def _excerpt(value: object) -> str:
    text = "unknown" if value is None else printable(str(value))
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
