"""The optional library pyarrow, imported when Parquet is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_surgery.errors import MissingExtraError

if TYPE_CHECKING:
    import types


def require_arrow() -> types.ModuleType:
    """The module pyarrow.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet  # makes pyarrow.parquet available as an attribute
    except ImportError:
        raise MissingExtraError.of("batch", "pyarrow") from None
    module: types.ModuleType = pyarrow
    return module
