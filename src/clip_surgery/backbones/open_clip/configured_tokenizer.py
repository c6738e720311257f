"""The tokenizer that a configuration of open_clip names."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

from clip_surgery.backbones.hub import could_not_fetch, not_usable, one_line, require_hub
from clip_surgery.backbones.open_clip.tokenizer import BPE_WORDS
from clip_surgery.backbones.tokenizers import has_word_pieces
from clip_surgery.errors import MissingExtraError


def configured_tokenizer(text_config: dict[str, Any], folder: Path | None) -> Any:
    """Return the tokenizer of a text configuration: that of CLIP, or one of transformers.

    Args:
        text_config: the part `text_cfg` of a configuration of open_clip.
        folder: the folder with the files of a tokenizer of transformers, or None to take them from
            the hub by their name.

    Raises:
        WeightsError: if the files are missing or cannot be fetched.
        MissingExtraError: if transformers is needed and not installed.
    """
    context_length = int(text_config.get("context_length", DEFAULT_CONTEXT_LENGTH))
    name = text_config.get("hf_tokenizer_name")
    settings = text_config.get("tokenizer_kwargs") or {}
    if not name:
        return SimpleTokenizer(context_length=context_length, **settings)
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError.of("transformers", "transformers")
    create_tokenizer = functools.partial(
        HFTokenizer,
        str(folder or name),
        context_length=context_length,
        tokenizer_mode=text_config.get("tokenizer_mode"),
        **settings,
    )
    try:
        tokenizer = create_tokenizer(local_files_only=True)
        if has_word_pieces(tokenizer.tokenizer, text_config.get("vocab_size", BPE_WORDS)):
            return tokenizer
        reason = "its files are missing"
    except Exception as error:  # transformers raises OSError, ValueError and others
        reason = one_line(error)
    if folder is not None:
        raise not_usable(folder, f"no tokenizer: {reason}")
    require_hub(f"the tokenizer {name}")
    try:
        return create_tokenizer()
    except Exception as error:
        raise could_not_fetch(f"the tokenizer {name}", one_line(error)) from error
