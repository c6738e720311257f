"""Write the tokenizer of a model as `tokenizer.json`, the format of Hugging Face's tokenizers."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clip_surgery.backbones.tokenizers import BoundTokenizer
from clip_surgery.backbones.tower import TextTower
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.text.templates import fill

SAMPLES = (
    "dog",
    "",
    "Two  old-fashioned Cats' tails, 2024!",
    "Z\u00fcrich's caf\u00e9 \u732b \u2019tis",
)
_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def write_tokenizer(tower: TextTower, path: Path, *, template: str = "a photo of a {}.") -> None:
    """Write the tokenizer of a text tower.

    If the library tokenizers is installed, its token ids of a few prompts are compared with those
    of the model.

    Args:
        tower: the text tower.
        path: the file to write.
        template: the prompt of the comparison.

    Raises:
        UnsupportedModelError: if the tokenizer cannot be written in this format, or it would give
            other token ids.
    """
    tokenize = tower.tokenize
    tokenizer = tokenize.tokenizer if isinstance(tokenize, BoundTokenizer) else None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if hasattr(tokenizer, "bpe_ranks"):
        content = json.dumps(_word_pieces(tokenizer), ensure_ascii=False)
    elif backend is not None:
        content = backend.to_str()
    else:
        raise UnsupportedModelError(
            f"The tokenizer {type(tokenizer).__name__} has no form for the browser; export the "
            "site without --any-word."
        )
    _compare(tower, content, template)
    path.write_text(content, encoding="utf-8")


def _compare(tower: TextTower, content: str, template: str) -> None:
    if find_spec("tokenizers") is None:
        return
    from tokenizers import Tokenizer

    written = Tokenizer.from_str(content)
    written.no_padding()
    written.no_truncation()
    prompts = [fill(template, text) for text in SAMPLES]
    for prompt, row in zip(prompts, tower.tokenize(prompts).tolist(), strict=True):
        ids = written.encode(prompt).ids
        if row[: len(ids)] != ids:
            raise UnsupportedModelError(
                f"The tokenizer for the browser gives other tokens for {prompt!r}; export the "
                "site without --any-word."
            )


def _word_pieces(tokenizer: Any) -> dict[str, Any]:
    """The description of open_clip's SimpleTokenizer: byte-pair encoding of lower-case words."""
    start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
    names = {number: name for name, number in tokenizer.encoder.items()}
    special = [
        {
            "id": number,
            "content": names[number],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number in (start, end)
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                _replace("[\u2018\u2019]", "'"),
                _replace("[\u201c\u201d]", '"'),
                _replace(r"\s+", " "),
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": _SPLIT},
                    "behavior": "Removed",
                    "invert": True,
                },
                {
                    "type": "ByteLevel",
                    "add_prefix_space": False,
                    "trim_offsets": True,
                    "use_regex": False,
                },
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [names[end], end],
            "cls": [names[start], start],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": names[end],
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "vocab": tokenizer.encoder,
            "merges": [" ".join(pair) for pair in tokenizer.bpe_ranks],
        },
    }


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}
