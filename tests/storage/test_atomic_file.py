"""Files are complete or absent, and locks are released with their process."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import (
    remove_partial,
    replacing_atomically,
    writing_atomically,
)
from clip_surgery.storage.file_lock import take_lock
from clip_surgery.storage.tensor_file import read_tensors, write_tensors


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_the_old_file_is_kept_until_the_new_one_is_complete(tmp_path, durable):
    path = tmp_path / "a.json"
    path.write_text("old")
    with writing_atomically(path, durable=durable) as file:
        file.write(b"n")
        file.flush()
        assert path.read_text() == "old"
        assert len(names(tmp_path)) == 2
        file.write(b"ew")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.json"]


def test_a_writer_that_raises_leaves_no_file(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ZeroDivisionError), writing_atomically(path) as file:
        file.write(b"half" * (1 // 0))
    assert names(tmp_path) == []


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "a.json"
    with writing_atomically(path) as first, writing_atomically(path) as second:
        first.write(b"one" * 1000)
        second.write(b"other" * 1000)
    assert path.read_bytes() == b"one" * 1000  # the first writer is the last to finish
    assert names(tmp_path) == ["a.json"]


def test_incomplete_files_are_removed(tmp_path):
    kept = ["a.json", "mine.partial", "mine.tmp"]
    for name in [*kept, ".a.json.0123456789ab.partial"]:
        (tmp_path / name).touch()
    remove_partial(tmp_path)
    assert names(tmp_path) == kept


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError), writing_atomically(tmp_path / "none" / "a.json"):
        pass


@pytest.mark.skipif(os.name != "posix", reason="files are not locked on Windows")
def test_a_lock_belongs_to_one_process_and_is_released_with_it(tmp_path):
    path = tmp_path / "lock"
    code = (
        "import os, sys\n"
        "from clip_surgery.storage.file_lock import take_lock\n"
        "handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)\n"
        "print(take_lock(handle), flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout.readline().strip() == "True"
        handle = os.open(path, os.O_RDWR)
        try:
            assert not take_lock(handle)
            process.kill()
            process.wait()
            assert take_lock(handle)
        finally:
            os.close(handle)


def test_saving_keeps_the_old_file_when_the_disk_is_full(tmp_path, monkeypatch):
    path = tmp_path / "scores.safetensors"
    write_tensors(path, {"scores": torch.ones(3)}, {"name": "old"}, kind="test 1")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match="cannot be written"):
        write_tensors(path, {"scores": torch.zeros(3)}, {"name": "new"}, kind="test 1")
    tensors, facts = read_tensors(path, kind="test 1")
    assert facts == {"name": "old"}
    assert tensors["scores"].tolist() == [1, 1, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["scores.safetensors"]


def test_a_writer_that_needs_a_path_replaces_the_file_at_the_end(tmp_path):
    path = tmp_path / "image.png"
    path.write_text("old")

    def fail_half_way():
        with replacing_atomically(path) as temporary:
            assert temporary.suffix == ".png"
            temporary.write_text("half of it")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert path.read_text() == "old"
    with replacing_atomically(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
