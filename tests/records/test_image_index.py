import os

import pytest
import torch

import clip_surgery as cs
from clip_surgery.framing import FramingRule
from clip_surgery.records.image_index import ImageIndex, file_key, index_path


def test_an_index_keeps_the_wanted_features(tmp_path):
    path = tmp_path / "folder" / "index.safetensors"
    index = ImageIndex.open(path)
    index.features = {"a": torch.ones(3), "b": torch.zeros(3)}
    index.save(["b", "c"])
    again = ImageIndex.open(path)
    assert list(again.features) == ["b"]
    assert torch.equal(again.features["b"], torch.zeros(3))


@pytest.mark.parametrize("content", [b"", b"not an index", b"\x00" * 64])
def test_a_damaged_index_is_computed_again(tmp_path, content):
    path = tmp_path / "index.safetensors"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged and is computed again"):
        assert ImageIndex.open(path).features == {}


def test_an_index_that_cannot_be_written_gives_a_warning(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    index = ImageIndex.open(tmp_path / "file" / "index")
    index.features = {"a": torch.ones(3)}
    with pytest.warns(UserWarning, match="cannot be written"):
        index.save(["a"])


def test_the_key_of_a_file_changes_with_the_file(tmp_path):
    path = tmp_path / "image.png"
    path.write_bytes(b"one")
    first = file_key(path)
    assert file_key(path) == first
    path.write_bytes(b"other")
    assert file_key(path) != first
    second = file_key(path)
    os.utime(path, (1, 1))
    assert file_key(path) != second
    assert file_key(tmp_path / "missing.png")


def test_models_and_folders_have_their_own_index(tmp_path, backbone):
    def path_of(folder, **settings):
        explainer = cs.wrap(backbone.model, cache=tmp_path, **settings)
        return index_path(explainer, [tmp_path / folder / "image.png"])

    paths = {path_of("one"), path_of("two"), path_of("one", framing=FramingRule(size=64))}
    assert len(paths) == 3
    assert path_of("one") in paths
    assert index_path(cs.wrap(backbone.model, cache=False), []) is None
