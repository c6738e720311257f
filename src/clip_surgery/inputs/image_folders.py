"""Search for image files in folders and by glob patterns."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.inputs.image_files import refuse_url
from clip_surgery.inputs.names import printable

IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""Suffixes by which images are recognised in folders."""
MAX_SEARCHED = 10_000  # files that are looked at to explain why no image was found


def list_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the image files that paths, folders and glob patterns name, each once, in order.

    Args:
        paths: files, which are taken whatever their suffix; folders, which are searched with their
            subfolders for files with one of `IMAGE_SUFFIXES`; patterns, in which `**` matches
            subfolders. Hidden files and folders are skipped, and links to folders are not
            followed. The images of a folder or pattern are sorted.

    Raises:
        InputError: if a path does not exist, or a folder or pattern has no image; the message says
            which files there are instead.
    """
    files: dict[Path, None] = {}
    for path_or_pattern in paths:
        text = os.fspath(path_or_pattern)
        refuse_url(text, name=text)
        path = Path(text)
        if _exists(path) and path.is_dir():
            matches = _images_among(_files_below(path))
        elif _exists(path):
            matches = [path]
        elif glob.has_magic(text):
            matches = _images_among(map(Path, glob.iglob(text, recursive=True)))
        else:
            raise InputError(f"{printable(text)}: no such file.")
        if not matches:
            raise InputError(f"{printable(text)}: {_reason_for_no_image(path)}")
        files.update(dict.fromkeys(matches))
    return list(files)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or contains NUL
        return False


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all files of a folder and its subfolders, except those in hidden subfolders."""
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names)


def _images_among(paths: Iterable[Path]) -> list[Path]:
    """Return the image files among paths, sorted; names with a leading dot are hidden files."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def _reason_for_no_image(path: Path) -> str:
    """Return what there is instead of images, and what would find images."""
    if _exists(path) and path.is_dir():
        return f"no image in this folder, {_content_without_images(path)}"
    matched = _suffixes(map(Path, glob.iglob(str(path), recursive=True)))
    only = f"only files with {matched}; " if matched else ""
    root = _folder_before_pattern(path)
    images = _images_among(islice(_files_below(root), MAX_SEARCHED))
    if not images:
        shown = printable(root)
        return f"no image matches this pattern; {only}there is no image in {shown} either."
    [(suffix, count)] = Counter(image.suffix for image in images).most_common(1)
    pattern = root / "**" / f"*{suffix}"
    return f"no image matches this pattern; {only}{printable(pattern)} finds {count}."


def _content_without_images(folder: Path) -> str:
    """Return what a folder without images contains, as the rest of a sentence."""
    suffixes = _suffixes(islice(_files_below(folder), MAX_SEARCHED))
    if suffixes:
        return (
            f"only files with {suffixes}; files that are named one by one are read whatever "
            "their suffix."
        )
    for hidden in sorted(folder.glob(".*")):
        if hidden.is_dir() and _images_among(islice(_files_below(hidden), MAX_SEARCHED)):
            return f"only a hidden folder with images; name it to read them: {printable(hidden)}"
    return "which has no files."


def _suffixes(files: Iterable[Path]) -> str:
    """Return up to five suffixes of files as a list for a message; empty if there is no file."""
    suffixes = {file.suffix.lower() or "no suffix" for file in files if file.is_file()}
    return printable(", ".join(sorted(suffixes)[:5]))


def _folder_before_pattern(pattern: Path) -> Path:
    """Return the longest part of a pattern that contains no wildcard."""
    return next(
        (parent for parent in pattern.parents if not glob.has_magic(str(parent))), Path(".")
    )
