"""Which image a result file was made of, recorded in the file itself.

A command may replace its own earlier result for an image, but not the result for another image of
the same name. PNG files carry the record as a text chunk, JSON files as the field "source_id", and
safetensors files in their metadata. It is a hash of the path of the image, so that results can be
passed on without telling where the image was.
"""

from __future__ import annotations

import json
import os
import zlib
from hashlib import sha256
from pathlib import Path

FIELD = "source_id"
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


def record_source(path: Path, source: str) -> None:
    """Write the source ID into a PNG or safetensors file; other files are left as they are.

    Raises:
        OSError: if the file cannot be read or written.
    """
    if path.suffix == ".png":
        path.write_bytes(_png_with_text(path.read_bytes(), source))
    elif path.suffix == ".safetensors":
        path.write_bytes(_safetensors_with_metadata(path.read_bytes(), source))


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
        else:
            source = json.loads(path.read_text(encoding="utf-8"))[FIELD]
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, RecursionError):
        return None
    except SafetensorError:
        return None
    return source if isinstance(source, str) else None


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
