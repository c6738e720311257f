"""The tokenizer of CLIP, for models that are given without a tokenizer."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from clip_surgery.errors import InputError

BPE_WORDS = 49408
"""Number of word pieces in the vocabulary of CLIP."""

CONTEXT_LENGTH = 77
"""Context length of the text towers of OpenAI's CLIP."""


def default_tokenizer(vocabulary: int, context_length: int) -> Any:
    """Return the tokenizer of CLIP.

    Args:
        vocabulary: number of word pieces of the model.
        context_length: largest number of tokens of a text.

    Raises:
        InputError: if the vocabulary is of another size, so that the tokenizer must be given.
    """
    if vocabulary != BPE_WORDS:
        raise InputError(
            f"Expected CLIP's vocabulary of {BPE_WORDS} word pieces, but got {vocabulary}: "
            "pass the model's tokenizer as tokenizer=..."
        )
    return _simple_tokenizer(context_length)


@functools.lru_cache(maxsize=4)
def _simple_tokenizer(context_length: int) -> Any:
    return _tokenizer_module().SimpleTokenizer(context_length=context_length)


def _tokenizer_module() -> ModuleType:
    """Return open_clip's module of tokenizers, without importing the rest of open_clip.

    `import open_clip` takes seconds, since it also imports torchvision and transformers. The file
    of the tokenizers stands alone, so that it is executed by itself while open_clip is not loaded.
    """
    package = importlib.util.find_spec("open_clip")
    folders = (package and package.submodule_search_locations) or []
    files = [Path(folder, "tokenizer.py") for folder in folders]
    if "open_clip" in sys.modules or not files or not files[0].is_file():
        return importlib.import_module("open_clip.tokenizer")
    loader = SourceFileLoader(f"{__name__}_of_open_clip", str(files[0]))
    module = ModuleType(loader.name)
    module.__file__ = loader.path  # the module finds its list of word pieces beside this file
    loader.exec_module(module)
    return module
