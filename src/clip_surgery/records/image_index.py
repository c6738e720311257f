"""Image features on disk, so that a folder is encoded once and then searched in an instant.

One file holds the features of the images of one folder for one model. An image is encoded again if
its size or its time of change differs. Images that are gone are dropped.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.storage.tensor_file import read_tensors, write_tensors

FORMAT = "clip-surgery image index 1"


@dataclass(kw_only=True)
class ImageIndex:
    """Features of images by the state of their files.

    Attributes:
        path: the file of the index; None keeps it in memory only.
        features: the feature (D,) of each file by its key (see `file_key`).
    """

    path: Path | None
    features: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | None) -> ImageIndex:
        """Return the index in a file, or an empty one. A damaged file gives a warning."""
        index = cls(path=path)
        if path is None or not path.exists():
            return index
        try:
            tensors, facts = read_tensors(path, kind=FORMAT)
            keys, features = facts["keys"], tensors["features"]
            if features.ndim != 2 or not bool(features.isfinite().all()):
                raise ValueError("expected finite features (n, D)")
            index.features = dict(zip(keys, features.float(), strict=True))
        except (InputError, KeyError, TypeError, ValueError) as error:
            warnings.warn(
                f"{path}: this index of images is damaged and is computed again: {error}.",
                stacklevel=2,
            )
        return index

    def save(self, keys: Sequence[str]) -> None:
        """Write the features of these keys, and drop all others.

        A folder that cannot be written gives a warning.
        """
        kept = {key: self.features[key] for key in keys if key in self.features}
        if self.path is None or not kept:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(
                self.path,
                {"features": torch.stack(list(kept.values()))},
                {"keys": list(kept)},
                kind=FORMAT,
            )
        except (OSError, InputError) as error:
            warnings.warn(
                f"{self.path}: the index of images cannot be written ({error}); images are "
                "encoded again in the next search.",
                stacklevel=2,
            )


def file_key(path: Path) -> str:
    """Return a text that changes if a file is moved or changed: its path, size and time."""
    size, changed = 0, 0
    with suppress(OSError):
        status = path.stat()
        size, changed = status.st_size, status.st_mtime_ns
    return json.dumps([str(path.resolve()), size, changed])


def index_path(explainer: Explainer, images: Sequence[Path]) -> Path | None:
    """Return the file of the index for a model and the folder of images; None without a cache.

    Args:
        explainer: the model; its cache says where indexes are.
        images: the images, whose folders belong to the name of the index.
    """
    if explainer.cache is None:
        return None
    backbone = explainer.backbone
    settings: Mapping[str, object] = {
        "model": backbone.name,
        "weights": fingerprint(backbone.model, settings=backbone.fingerprint()),
        "dtype": str(backbone.dtype),
        "framing": repr(explainer.framing),
        "folders": sorted({str(path.parent.resolve()) for path in images}),
    }
    key = sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]
    return explainer.cache.directory / f"images-{key}.safetensors"
