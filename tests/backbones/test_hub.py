"""Messages for a hub that does not respond, and files in its cache."""

import pytest

from clip_surgery.backbones.hub import cached_file, could_not_fetch, not_usable, one_line
from clip_surgery.errors import WeightsError


def test_messages_are_one_line():
    assert one_line("two\n  lines") == "two lines"
    assert one_line(KeyError("x")) == "KeyError: 'x'"
    assert one_line(EOFError()) == "EOFError"
    assert len(one_line("x" * 500)) == 200


def test_messages_have_the_source_the_reason_and_advice():
    assert str(not_usable("a.pt", "cut off")) == "Could not load weights from a.pt: cut off"
    assert "Could not fetch x: gone. Give a local file" in str(could_not_fetch("x", "gone"))
    assert isinstance(could_not_fetch("x", "gone"), WeightsError)


@pytest.mark.parametrize("repository", ["someone/something", "gpt2"])
def test_an_empty_cache(repository, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert cached_file(repository, "a.safetensors", "a.bin") is None
