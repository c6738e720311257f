"""The files of onnxruntime-web come from where the user says, if they are the pinned ones."""

import io
import tarfile
from hashlib import sha256

import pytest

from clip_surgery.errors import InputError
from clip_surgery.export.web import runtime


@pytest.fixture
def pinned(monkeypatch):
    """Two small files that take the place of the pinned ones."""
    contents = {"ort.wasm.min.mjs": b"export {}", "core.wasm": b"\0asm"}
    digests = {name: sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(runtime, "WASM", digests)
    return contents


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def test_a_folder_and_an_archive(pinned, tmp_path):
    write(tmp_path / "package/dist", pinned)
    with tarfile.open(tmp_path / "ort.tgz", "w:gz") as archive:
        archive.add(tmp_path / "package", "package")
    for number, source in enumerate(("package", "package/dist", "ort.tgz")):
        target = tmp_path / str(number)
        target.mkdir()
        runtime.copy_runtime(target, webgpu=False, source=tmp_path / source)
        assert sorted(path.name for path in target.iterdir()) == ["core.wasm", "ort.wasm.min.js"]
        assert (target / "core.wasm").read_bytes() == pinned["core.wasm"]


@pytest.mark.parametrize("change", [{"core.wasm": b"other"}, {}])
def test_files_that_differ_or_are_missing_are_refused(pinned, tmp_path, change):
    write(tmp_path / "given", {"ort.wasm.min.mjs": pinned["ort.wasm.min.mjs"]} | change)
    with pytest.raises(InputError, match=r"given: core\.wasm (is not that|of .* is missing)"):
        runtime.copy_runtime(tmp_path, webgpu=False, source=tmp_path / "given")


def test_a_damaged_archive_is_refused(pinned, tmp_path):
    (tmp_path / "ort.tgz").write_bytes(b"no archive")
    with pytest.raises(InputError, match="is missing"):
        runtime.copy_runtime(tmp_path, webgpu=False, source=tmp_path / "ort.tgz")


def test_a_download_is_checked_and_kept(pinned, tmp_path, monkeypatch):
    asked = []

    def urlopen(address, timeout):
        asked.append(address)
        return io.BytesIO(pinned[address.removeprefix(runtime.CDN)])

    monkeypatch.setattr(runtime.urllib.request, "urlopen", urlopen)
    write(tmp_path / "cache", {"core.wasm": b"damaged"})
    for _ in range(2):
        runtime.copy_runtime(tmp_path, webgpu=False, cache=tmp_path / "cache")
    assert len(asked) == 2
    assert (tmp_path / "cache/core.wasm").read_bytes() == pinned["core.wasm"]
    pinned["core.wasm"] = b"changed on the way"
    (tmp_path / "cache/core.wasm").unlink()
    with pytest.raises(InputError, match="differs from the pinned file"):
        runtime.copy_runtime(tmp_path, webgpu=False, cache=tmp_path / "cache")


def test_without_the_internet_the_message_says_what_to_do(pinned, tmp_path, monkeypatch):
    def urlopen(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(runtime.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"no route to host.*npm pack .*--runtime"):
        runtime.copy_runtime(tmp_path, webgpu=False, cache=tmp_path / "cache")
