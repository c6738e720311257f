"""The tokenizer of CLIP in the format that browsers read."""

from dataclasses import replace

import pytest

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.export.tokenizer_file import write_tokenizer
from clip_surgery.loading import load

TEXTS = ["a dog", "Two  CATS!", "it's 2024: caf\u00e9s & \u732b\u732b", "\u2019tis", "x" * 60, ""]


def test_the_written_tokenizer_gives_the_ids_of_the_model(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    tower = load("demo", cache=False).backbone.text_tower
    write_tokenizer(tower, tmp_path / "tokenizer.json")
    written = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text, row in zip(TEXTS, tower.tokenize(TEXTS).tolist(), strict=True):
        ids = written.encode(text).ids
        assert row == ids + [0] * (len(row) - len(ids)), text


def test_another_tokenizer_is_refused(tmp_path):
    pytest.importorskip("tokenizers")
    tower = load("demo", cache=False).backbone.text_tower

    class Other:
        def __call__(self, texts, *, truncate=False):
            return tower.tokenize(texts, truncate=truncate)

    with pytest.raises(UnsupportedModelError, match="without --any-word"):
        write_tokenizer(replace(tower, tokenize=Other()), tmp_path / "tokenizer.json")
    assert not (tmp_path / "tokenizer.json").exists()
