"""Which image a result file was made of, recorded in the file itself.

A command may replace its own earlier result for an image, but not the result for another image of
the same name. PNG files carry the record as a text chunk, JSON files as the field "source_id",
safetensors files in their metadata, npz files as an array, and PDF, SVG and HTML files as a comment
at their end. It is a hash of the path of the image, so that results can be passed on without
telling where the image was. Files for all images of a run have a hash of the images' records.
"""

from __future__ import annotations

import io
import json
import os
import re
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

FIELD = "source_id"
_COMMENTS = {
    ".pdf": f"\n%{FIELD}: {{}}\n",
    ".svg": f"<!-- {FIELD}: {{}} -->\n",
    ".html": f"<!-- {FIELD}: {{}} -->\n",
}
_LONGEST_COMMENT = 64  # bytes
_PNG_HEADER_BYTES = 8 + 25  # the signature and the chunk IHDR, which is always the first


def source_id(image: str | os.PathLike[str]) -> str:
    """Return a hash of the absolute path of an image, the same for the same file.

    Example:
        >>> source_id("photos/street.png") == source_id("photos/../photos/street.png")
        True
        >>> source_id("street.png") == source_id("photos/street.png")
        False
    """
    return sha256(os.fsencode(os.path.realpath(image))).hexdigest()[:16]


def run_source(sources: Sequence[str]) -> str:
    """Return the source ID of a file that holds the results of several images."""
    return sha256(" ".join(sources).encode()).hexdigest()[:16]


def record_source(path: Path, source: str) -> None:
    """Write the source ID into a result file; JSON files have it in their record already.

    Raises:
        OSError: if the file cannot be read or written.
    """
    if path.suffix == ".png":
        path.write_bytes(_png_with_text(path.read_bytes(), source))
    elif path.suffix == ".safetensors":
        path.write_bytes(_safetensors_with_metadata(path.read_bytes(), source))
    elif path.suffix == ".npz":
        content = io.BytesIO()
        np.save(content, np.array(source), allow_pickle=False)
        with ZipFile(path, "a") as archive:
            archive.writestr(f"{FIELD}.npy", content.getvalue())
    elif path.suffix in _COMMENTS:
        with path.open("ab") as file:
            file.write(_COMMENTS[path.suffix].format(source).encode())


def recorded_source(path: Path) -> str | None:
    """Return the source ID that a result file records; None if it has none or cannot be read."""
    from PIL import Image
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".png":
            with Image.open(path) as image:
                source = image.info.get(FIELD)
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                source = (file.metadata() or {}).get(FIELD)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                source = str(arrays[FIELD])
        elif path.suffix in _COMMENTS:
            source = _source_in_comment(path)
        elif path.suffix == ".jsonl":
            lines = path.read_text(encoding="utf-8").splitlines()
            source = run_source([json.loads(line)[FIELD] for line in lines])
        else:
            source = json.loads(path.read_text(encoding="utf-8"))[FIELD]
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, RecursionError):
        return None
    except (BadZipFile, EOFError):
        return None
    except SafetensorError:
        return None
    return source if isinstance(source, str) else None


def _source_in_comment(path: Path) -> str | None:
    """The source ID in the comment at the end of a file."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_COMMENT))
        match = re.search(rf"{FIELD}: ([0-9a-f]{{16}})\b".encode(), file.read())
    return match[1].decode() if match else None


def _png_with_text(content: bytes, source: str) -> bytes:
    """The content of a PNG file with a text chunk behind the header chunk."""
    chunk = b"tEXt" + FIELD.encode() + b"\0" + source.encode()
    length = (len(chunk) - 4).to_bytes(4, "big")
    checksum = zlib.crc32(chunk).to_bytes(4, "big")
    header, rest = content[:_PNG_HEADER_BYTES], content[_PNG_HEADER_BYTES:]
    return header + length + chunk + checksum + rest


def _safetensors_with_metadata(content: bytes, source: str) -> bytes:
    """The content of a safetensors file with one more entry in its metadata."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header.setdefault("__metadata__", {})[FIELD] = source
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the tensors behind it stay aligned
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
