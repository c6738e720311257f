"""The cache of text features: valid and damaged entries, failures and concurrency."""

import os
import random
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
import safetensors.torch
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.cache import CacheFolder, TextCache
from tests.towers import tiny_open_clip

WIDTH = 24
LABELS = ["cat", "dining table", "a/../b \0 straße"]


class Counted:
    """A tiny backbone that counts the prompts that it encodes."""

    def __init__(self, seed=0):
        backbone = wrap_backbone(tiny_open_clip(seed))
        self.plain = backbone
        self.prompts = []
        self.blocks_run = 0

        def tokenize(texts, *, truncate=False):
            self.prompts += texts
            return backbone.text_tower.tokenize(texts, truncate=truncate)

        def counted(block):
            def feed_forward(tokens):
                self.blocks_run += 1
                return block.feed_forward(tokens)

            return replace(block, feed_forward=feed_forward)

        blocks = tuple(counted(block) for block in backbone.text_tower.blocks)
        tower = replace(backbone.text_tower, tokenize=tokenize, blocks=blocks)
        self.backbone = replace(backbone, text_tower=tower)

    def encode(self, texts, cache, **settings):
        """Features, and the names of the texts that were computed."""
        self.prompts.clear()
        with torch.no_grad():
            features = encode_texts(self.backbone, texts, templates="name", cache=cache, **settings)
        return features, [prompt for prompt in self.prompts if not prompt.startswith("A photo")]


@pytest.fixture
def counted():
    return Counted()


@pytest.fixture
def cache(tmp_path):
    return TextCache(tmp_path / "texts")


def files(cache):
    return sorted(cache.directory.rglob("*.safetensors"))


def everything(cache):
    return sorted(path for path in cache.directory.rglob("*") if path.is_file())


def folder_of(cache, **changes):
    settings = {"fingerprint": "f", "templates": ("{}",), "dtype": torch.float32, "truncate": False}
    return cache.folder(**{**settings, **changes})


def unit(seed=0):
    return F.normalize(torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)), dim=0)


def test_cached_texts_are_not_computed_again(counted, cache):
    first, computed = counted.encode(LABELS, cache)
    assert computed == [*LABELS, ""]
    counted.blocks_run = 0
    second, computed = counted.encode(LABELS, cache)
    assert computed == []
    assert counted.blocks_run == 0
    assert torch.equal(second.labels, first.labels)
    assert torch.equal(second.empty, first.empty)
    assert len(files(cache)) == len(everything(cache)) == len(LABELS) + 1


def test_only_missing_texts_are_computed(counted, cache):
    counted.encode(["cat"], cache)
    mixed, computed = counted.encode(["dog", "cat", "bird"], cache)
    assert computed == ["dog", "bird"]
    alone, _ = counted.encode(["dog", "cat", "bird"], None)
    torch.testing.assert_close(mixed.labels, alone.labels, atol=2e-6, rtol=0)


def test_without_a_cache_no_file_is_written(counted, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIP_SURGERY_CACHE", str(tmp_path))
    counted.encode(LABELS, None)
    assert list(tmp_path.iterdir()) == []


def test_every_setting_has_its_own_folder(cache):
    changes = [
        {},
        {"fingerprint": "g"},
        {"templates": ("{}", "a {}")},
        {"templates": ("a {}", "{}")},
        {"templates": ("{}a {}",)},
        {"dtype": torch.bfloat16},
        {"truncate": True},
    ]
    folders = {folder_of(cache, **change).directory for change in changes}
    assert len(folders) == len(changes)
    assert folder_of(cache).directory == folder_of(TextCache(cache.directory)).directory


def test_other_weights_have_other_entries(counted, cache):
    features, _ = counted.encode(LABELS, cache)
    other, computed = Counted(seed=1).encode(LABELS, cache)
    assert computed == [*LABELS, ""]
    assert not torch.allclose(other.labels, features.labels)
    with torch.no_grad():
        counted.backbone.model.token_embedding.weight[:] += 0.5
    _, computed = counted.encode(LABELS, cache)
    assert computed == [*LABELS, ""]


def test_another_tokenizer_has_another_folder(counted, cache):
    counted.encode(["cat"], cache)
    tower = counted.backbone.text_tower

    def shouting(texts, *, truncate=False):
        return tower.tokenize([f"{text}!" for text in texts], truncate=truncate)

    counted.backbone = replace(counted.backbone, text_tower=replace(tower, tokenize=shouting))
    _, computed = counted.encode(["cat"], cache)
    assert "cat!" in computed


def test_entries_of_truncated_texts_are_not_used_without_truncation(counted, cache):
    long = "dog " * 90
    counted.encode([long], cache, truncate=True)
    with pytest.raises(ValueError, match="77"):
        counted.encode([long], cache)


def test_the_cache_is_not_used_while_gradients_are_recorded(counted, cache):
    recorded = encode_texts(counted.backbone, LABELS, templates="name", cache=cache)
    assert recorded.labels.requires_grad
    assert not cache.directory.exists()
    counted.encode(LABELS, cache)
    counted.prompts.clear()
    recorded = encode_texts(counted.backbone, LABELS, templates="name", cache=cache)
    assert recorded.labels.requires_grad
    assert counted.prompts == [*LABELS, ""]


def test_frozen_weights_are_cached_without_no_grad(counted, cache):
    counted.backbone.model.requires_grad_(False)
    encode_texts(counted.backbone, LABELS, templates="name", cache=cache)
    assert len(files(cache)) == len(LABELS) + 1


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-7]),
    "header only": lambda path: path.write_bytes(path.read_bytes()[:12]),
    "garbage": lambda path: path.write_bytes(b"not a feature" * 50),
    "no feature in it": lambda path: safetensors.torch.save_file({"other": unit()}, path),
    "wrong shape": lambda path: safetensors.torch.save_file({"feature": unit()[:-1]}, path),
    "two dimensions": lambda path: safetensors.torch.save_file({"feature": unit()[None]}, path),
    "wrong type": lambda path: safetensors.torch.save_file({"feature": unit().half()}, path),
    "wrong length": lambda path: safetensors.torch.save_file({"feature": unit() * 3}, path),
    "not a number": lambda path: safetensors.torch.save_file(
        {"feature": torch.full((WIDTH,), torch.nan)}, path
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_entry_causes_a_warning_and_is_computed_again(counted, cache, damage):
    features, _ = counted.encode(["cat"], cache)
    whole = {path: path.read_bytes() for path in files(cache)}
    (path,) = (
        path
        for path in files(cache)
        if torch.equal(safetensors.torch.load_file(path)["feature"], features.labels[0])
    )
    damage(path)
    with pytest.warns(UserWarning, match="damaged") as warned:
        again, computed = counted.encode(["cat"], cache)
    assert len(warned) == 1
    assert str(path) in str(warned[0].message)
    assert computed == ["cat"]
    torch.testing.assert_close(again.labels, features.labels, atol=2e-6, rtol=0)
    assert len(path.read_bytes()) == len(whole[path])
    assert counted.encode(["cat"], cache)[1] == []


def test_an_unwritable_directory_causes_one_warning(counted, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    cache = TextCache(blocked / "texts")
    with pytest.warns(UserWarning, match="cannot be written") as warned:
        features, _ = counted.encode(LABELS, cache)
    assert len(warned) == 1
    assert str(cache.directory) in str(warned[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, _ = counted.encode(LABELS, cache)
    assert torch.equal(again.labels, features.labels)


def test_an_unreadable_entry_is_computed_again(counted, cache):
    counted.encode(["cat"], cache)
    for path in files(cache):
        path.unlink()
        path.mkdir()
    with pytest.warns(UserWarning, match="damaged|cannot be written") as warned:
        _, computed = counted.encode(["cat"], cache)
    assert computed == ["cat", ""]
    assert ["damaged" in str(w.message) for w in warned] == [True, True, False]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_write_leaves_no_file(cache, monkeypatch, failure):
    def stopped(*_):
        raise failure

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(failure):
        folder_of(cache).write("cat", unit())
    assert everything(cache) == []


def test_full_disk_keeps_the_old_entry(cache, monkeypatch):
    folder = folder_of(cache)
    folder.write("cat", unit())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(UserWarning, match="No space left"):
        folder.write("cat", unit(1))
    assert torch.equal(folder.read("cat", WIDTH), unit())


def run_python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


KILLED = """
import os, sys, torch
from clip_surgery.text.cache import CacheFolder, TextCache
folder = TextCache(sys.argv[1]).folder(
    fingerprint="f", templates=("{}",), dtype=torch.float32, truncate=False
)
os.replace = lambda *paths: os._exit(9)
folder.write("cat", torch.ones(24) / 24 ** 0.5)
"""


@pytest.mark.slow
def test_killed_writer_leaves_no_entry(cache):
    process = run_python(KILLED, cache.directory)
    process.communicate()
    assert process.returncode == 9
    assert files(cache) == []
    folder = folder_of(cache)
    assert folder.read("cat", WIDTH) is None
    folder.write("cat", unit())
    assert torch.equal(folder.read("cat", WIDTH), unit())


WRITER = """
import sys, torch, warnings
warnings.simplefilter("error")
from clip_surgery.text.cache import CacheFolder, TextCache
folder = TextCache(sys.argv[1]).folder(
    fingerprint="f", templates=("{}",), dtype=torch.float32, truncate=False
)
feature = torch.eye(24)[int(sys.argv[2])]
for _ in range(60):
    for text in "abc":
        folder.write(text, feature)
        assert folder.read(text, 24).count_nonzero() == 1
"""


@pytest.mark.slow
def test_processes_write_the_same_texts(cache):
    processes = [run_python(WRITER, cache.directory, number) for number in range(2)]
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert len(everything(cache)) == 3


def test_threads_share_a_cache(cache):
    counted = Counted()
    expected, _ = counted.encode(LABELS, None)
    results, failures = [], []

    def work():
        try:
            with torch.no_grad():
                results.append(encode_texts(counted.plain, LABELS, templates="name", cache=cache))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(results) == len(threads)
    for features in results:
        torch.testing.assert_close(features.labels, expected.labels, atol=2e-6, rtol=0)
    assert len(everything(cache)) == len(LABELS) + 1


def test_features_that_are_not_finite_are_not_written(cache):
    folder = folder_of(cache)
    folder.write("cat", torch.full((WIDTH,), torch.inf))
    assert folder.read("cat", WIDTH) is None


def test_directory_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CLIP_SURGERY_CACHE", str(tmp_path / "elsewhere"))
    assert TextCache().directory == tmp_path / "elsewhere" / "texts"
    assert TextCache(tmp_path).directory == tmp_path
    monkeypatch.delenv("CLIP_SURGERY_CACHE")
    assert TextCache().directory.parent == Path(platformdirs.user_cache_dir("clip-surgery", False))


@pytest.mark.slow
def test_no_corruption_of_an_entry_is_used(counted, cache):
    """300 corruptions: bytes changed or removed, entries swapped, entries of another folder."""
    texts = [f"word {number}" for number in range(12)]
    features, _ = counted.encode(texts, cache)
    folder = next(cache.directory.iterdir())
    entries = sorted(folder.iterdir())
    whole = {path: path.read_bytes() for path in entries}
    chance = random.Random(12)
    for _ in range(300):
        path, other = chance.sample(entries, 2)
        content = bytearray(whole[path])
        kind = chance.randrange(4)
        if kind == 0:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del content[chance.randrange(len(content)) :]
        elif kind == 2:
            content = bytearray(whole[other])
        else:
            start = chance.randrange(len(content))
            content[start : start + 8] = bytes(chance.randrange(256) for _ in range(8))
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again, computed = counted.encode(texts, cache)
        torch.testing.assert_close(again.labels, features.labels, atol=2e-6, rtol=0)
        if bytes(content) != whole[path]:
            assert computed
        path.write_bytes(whole[path])


def test_features_do_not_depend_on_the_autocast_of_the_caller(counted, cache):
    with torch.autocast("cpu", torch.bfloat16):
        first, _ = counted.encode(["cat"], cache)
    plain, _ = counted.encode(["cat"], None)
    assert torch.equal(first.labels, plain.labels)


@torch.no_grad()
def test_a_full_cache_deletes_the_features_that_were_not_used_for_the_longest_time(tmp_path):
    backbone = wrap_backbone(tiny_open_clip())
    texts = [f"word {number}" for number in range(10)]
    encode_texts(backbone, texts, templates="name", cache=TextCache(tmp_path))
    entries = {path: path.stat().st_size for path in tmp_path.glob("*/*.safetensors")}
    [folder] = {path.parent for path in entries}
    cache = TextCache(tmp_path, max_bytes=sum(entries.values()))
    kept = CacheFolder(cache, folder.name)
    for age, text in enumerate(["", *texts]):
        os.utime(kept.path(text), (10**9 - age, 10**9 - age))  # the last text is the oldest
    encode_texts(backbone, texts[-1:], templates="name", cache=cache)  # it is used again
    encode_texts(backbone, ["one word more"], templates="name", cache=cache)
    left = {path for path in entries if path.exists()}
    assert kept.path(texts[-1]) in left
    assert kept.path("one word more").exists()
    assert kept.path(texts[0]) in left
    assert kept.path(texts[-2]) not in left
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*.safetensors"))
    assert size <= cache.max_bytes


@torch.no_grad()
@pytest.mark.parametrize("kind", ["read", "opaque"])
def test_no_text_tower_runs_if_all_features_are_cached(kind, tmp_path, monkeypatch):
    backbone = wrap_backbone(tiny_open_clip())
    tower = backbone.text_tower
    if kind == "opaque":
        model = backbone.model
        tower = replace(tower, encode=model.encode_text)
        backbone = replace(backbone, text_tower=tower)
    cache = TextCache(tmp_path)
    expected = encode_texts(backbone, ["dog", "cat"], templates="photo", cache=cache)

    def fail(*arguments, **settings):
        raise AssertionError("the text tower ran")

    if kind == "opaque":
        backbone = replace(backbone, text_tower=replace(tower, encode=fail))
    else:
        monkeypatch.setattr("clip_surgery.text.bank.encode_prompts", fail)
    again = encode_texts(backbone, ["dog", "cat"], templates="photo", cache=cache)
    assert torch.equal(again.labels, expected.labels)
