"""The files of onnxruntime-web that an exported site serves to its visitors.

They are 14 MB for WebAssembly and 27 MB for WebGPU, too large for this package. They are taken from
a folder or archive that the user gives, from the cache, or from the internet, in this order. Every
file is compared with its SHA-256 before it is used, wherever it comes from.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import writing_atomically
from clip_surgery.text.cache import TextCache

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/{PACKAGE}@{VERSION}/dist/"
WASM: Mapping[str, str] = MappingProxyType(
    {
        "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
        "ort-wasm-simd-threaded.mjs": (
            "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b"
        ),
        "ort-wasm-simd-threaded.wasm": (
            "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
        ),
    }
)
"""Files for WebAssembly, with their SHA-256."""
WEBGPU: Mapping[str, str] = MappingProxyType(
    {
        "ort.webgpu.min.mjs": "3dffff71811bc13a3a3d9591c57ca5ee5735b8f5f3eaf789510b02bb040ae3a0",
        "ort-wasm-simd-threaded.asyncify.mjs": (
            "3d1c85995364bb643302fc6fd877a0c3ba5ae72401815e0f24828a53d9191e28"
        ),
        "ort-wasm-simd-threaded.asyncify.wasm": (
            "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da"
        ),
    }
)
"""Files for WebGPU, with their SHA-256."""
_MAX_BYTES = 64_000_000
_SECONDS = 60


def copy_runtime(
    target: Path, *, webgpu: bool, source: Path | None = None, cache: Path | None = None
) -> None:
    """Copy the files of onnxruntime-web into a folder.

    The modules get the suffix .js, because some web servers do not know .mjs.

    Args:
        target: an existing folder.
        webgpu: whether the files for WebGPU are copied too.
        source: a folder with the files, the folder of the npm package, or its .tgz archive. If
            None, the files are taken from the cache, or downloaded into it.
        cache: folder of the cache; None for that of this library.

    Raises:
        InputError: if a file is missing or differs from the pinned one, or if it cannot be fetched.
    """
    files = {**WASM, **WEBGPU} if webgpu else dict(WASM)
    if source is not None:
        contents = _from_source(source, files)
    else:
        folder = cache or TextCache().directory.parent / f"{PACKAGE}-{VERSION}"
        contents = _from_cache(folder, files)
    for name, content in contents.items():
        (target / name.replace(".mjs", ".js")).write_bytes(content)


def _from_source(source: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """The contents of files in a folder or an archive of npm."""
    if not source.exists():
        raise InputError(f"{source}: expected a folder with {PACKAGE} {VERSION}, or its archive.")
    read = _archive_reader(source) if source.is_file() else _folder_reader(source)
    contents = {}
    for name, digest in files.items():
        try:
            content = read(name)
        except (OSError, KeyError, EOFError, tarfile.TarError) as error:
            raise InputError(f"{source}: {name} of {PACKAGE} {VERSION} is missing.") from error
        if sha256(content).hexdigest() != digest:
            raise InputError(f"{source}: {name} is not that of {PACKAGE} {VERSION}.")
        contents[name] = content
    return contents


def _folder_reader(folder: Path) -> Callable[[str], bytes]:
    inside = folder / "dist" if (folder / "dist").is_dir() else folder
    return lambda name: (inside / name).read_bytes()


def _archive_reader(archive: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        with tarfile.open(archive) as members:
            file = members.extractfile(f"package/dist/{name}")
            return b"" if file is None else file.read(_MAX_BYTES)

    return read


def _from_cache(folder: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    """The contents of files in the cache, after those that are missing were fetched."""
    missing = {
        name: digest for name, digest in files.items() if not _is_intact(folder, name, digest)
    }
    if missing:
        fetched = _download(missing)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in fetched.items():
                with writing_atomically(folder / name) as file:
                    file.write(content)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror or error}).") from error
    return _from_source(folder, files)


def _is_intact(folder: Path, name: str, digest: str) -> bool:
    try:
        return sha256((folder / name).read_bytes()).hexdigest() == digest
    except OSError:
        return False


def _download(files: Mapping[str, str]) -> dict[str, bytes]:
    """Fetch files from the content delivery network of npm packages, or else with npm itself."""
    try:
        return {name: _fetch(name, digest) for name, digest in files.items()}
    except OSError as error:
        reason = str(getattr(error, "reason", error))
    npm = shutil.which("npm")
    if npm is not None:
        with tempfile.TemporaryDirectory() as temporary:
            done = subprocess.run(
                [npm, "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"],
                cwd=temporary,
                capture_output=True,
                text=True,
                check=False,
            )
            archives = list(Path(temporary).glob("*.tgz"))
            if archives:
                return _from_source(archives[0], files)
            reason = (done.stderr.strip().splitlines() or [reason])[-1]
    raise InputError(
        f"{PACKAGE} {VERSION} cannot be fetched ({reason}). On a machine with the internet run "
        f"'npm pack {PACKAGE}@{VERSION}', and give the archive with --runtime."
    )


def _fetch(name: str, digest: str) -> bytes:
    with urllib.request.urlopen(CDN + name, timeout=_SECONDS) as response:
        content: bytes = response.read(_MAX_BYTES)
    if sha256(content).hexdigest() != digest:
        raise InputError(f"{CDN}{name}: differs from the pinned file of {PACKAGE} {VERSION}.")
    return content
