"""Names of devices and number types."""

import pytest
import torch

from clip_surgery.backbones.devices import resolve_device, resolve_dtype
from clip_surgery.errors import InputError, UnknownNameError


def test_devices(monkeypatch):
    assert resolve_device("cpu") == torch.device("cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    for absent in ("cuda:2", "meta", "xpu"):
        with pytest.raises(InputError, match="is not"):
            resolve_device(absent)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-2"])
def test_unknown_names(name):
    with pytest.raises(InputError, match="Expected device auto, cuda, mps or cpu"):
        resolve_device(name)


def test_types():
    assert resolve_dtype("bfloat16") == torch.bfloat16
    with pytest.raises(UnknownNameError, match="Did you mean 'float16'"):
        resolve_dtype("flaot16")
