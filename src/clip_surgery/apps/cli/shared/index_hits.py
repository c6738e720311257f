"""Hits of a search in the rows of a batch: the features, and the files that still exist."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from clip_surgery.apps.cli.shared import console
from clip_surgery.inputs.names import printable

if TYPE_CHECKING:
    from torch import Tensor

    from clip_surgery.explainer import Explainer
    from clip_surgery.tasks.search import Hit

SHOWN_MISSING = 10
"""Maximum number of missing files that are named."""


def stored_features(
    explainer: Explainer, index: Path
) -> tuple[list[Path], Tensor, tuple[int | None, ...]]:
    """Return the images of an index, their features (n, D), and when their files had been changed.

    Raises:
        InputError: if the index cannot be used, or is of another model.
    """
    from clip_surgery.apps.batch.feature_index import read_feature_index
    from clip_surgery.apps.batch.job import feature_identity

    rows = read_feature_index(index)
    rows.check_model(feature_identity(explainer))
    return [Path(path) for path in rows.paths], rows.features, rows.modified


def existing_hits(
    hits: Sequence[Hit],
    paths: Sequence[Path],
    *,
    top: int,
    modified: Sequence[int | None] | None = None,
) -> tuple[list[tuple[Path, Hit]], int]:
    """Return the first hits whose files exist, and the number of better ones whose files do not.

    The latter are reported, and so are hits whose files were changed since, because their features
    are those of another image. An image that is in the index twice is one hit.

    Args:
        hits: all images of the index, the best first.
        paths: the paths in the index.
        top: maximum number of hits.
        modified: when the files of the index had been changed, in nanoseconds since 1970.
    """
    existing: dict[Path, Hit] = {}
    missing: dict[Path, None] = {}
    for hit in hits:
        if len(existing) == top:
            break
        path = paths[hit.position]
        file = None if path in missing else _file(path)
        if file is None:
            missing[path] = None
        else:
            existing.setdefault(file, hit)
    for path in list(missing)[:SHOWN_MISSING]:
        console.error(
            f"{printable(path)}: in the index, but no such file; run the search from the folder "
            "of the batch, or compute the index again."
        )
    if len(missing) > SHOWN_MISSING:
        console.error(f"{len(missing) - SHOWN_MISSING:,} more files of the index do not exist.")
    times = modified or [None] * len(paths)
    changed = [file for file, hit in existing.items() if _is_changed(file, times[hit.position])]
    for file in changed[:SHOWN_MISSING]:
        console.notice(
            f"{printable(file)}: changed since the index was computed, so that its rank may be "
            "wrong; compute the index again (batch --tasks features --overwrite)."
        )
    if len(changed) > SHOWN_MISSING:
        console.notice(f"{len(changed) - SHOWN_MISSING:,} more hits were changed.")
    return list(existing.items()), len(missing)


def _file(path: Path) -> Path | None:
    """The regular file that a path of an index means, in which unsafe characters are escaped."""
    if _is_file(path):
        return path
    if "\\" not in path.name:
        return None
    try:
        names = os.listdir(path.parent)
    except (OSError, ValueError):
        return None
    meant = (path.parent / name for name in names if printable(name) == path.name)
    return next(filter(_is_file, meant), None)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # such as a path with NUL
        return False


def _is_changed(file: Path, modified: int | None) -> bool:
    try:
        return modified is not None and file.stat().st_mtime_ns != modified
    except OSError:  # it was removed a moment ago
        return True
