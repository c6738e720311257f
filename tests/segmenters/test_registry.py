"""Segmenters by name: registered, from an entry point, by module and class, and SAM models."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import clip_surgery
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.segmenters import registry
from clip_surgery.segmenters.registry import load_segmenter, register_segmenter
from clip_surgery.segmenters.sam import SamSegmenter
from tests.segmenters.test_sam import tiny_sam


class OnDevice:
    def __init__(self, device="cpu"):
        self.device = device

    def __call__(self, image, prompts):
        return []


class NeedsSettings(OnDevice):
    def __init__(self, threshold):
        self.threshold = threshold


def returns_a_number():
    return 3


def no_candidates(image, prompts):
    return []


NUMBER = 3


@pytest.fixture(autouse=True)
def restored_registry(monkeypatch):
    monkeypatch.setattr(registry, "_loaders", {})


def test_a_segmenter_is_registered_from_outside():
    register_segmenter("mine", OnDevice)
    assert load_segmenter("mine", device="cpu").device == "cpu"
    register_segmenter("mine", OnDevice)  # the same class again, as when a module is loaded twice
    with pytest.raises(InputError, match="'mine' is registered already"):
        register_segmenter("mine", NeedsSettings)
    register_segmenter("other", lambda: no_candidates)
    assert load_segmenter("other") is no_candidates
    register_segmenter("later", f"{__name__}:OnDevice")
    assert isinstance(load_segmenter("later"), OnDevice)


def test_a_class_that_is_defined_again_replaces_its_former_definition():
    def define():
        class Segmenter(OnDevice):
            pass

        return Segmenter

    register_segmenter("mine", define())
    again = define()
    register_segmenter("mine", again)
    assert isinstance(load_segmenter("mine", device="cpu"), again)
    register_segmenter("other", lambda: no_candidates)
    with pytest.raises(InputError, match="registered already"):
        register_segmenter("other", lambda: no_candidates)


@pytest.mark.parametrize(
    ("name", "loader"), [("a b", OnDevice), (3, OnDevice), ("mine", "OnDevice"), ("mine", 3)]
)
def test_a_wrong_registration(name, loader):
    with pytest.raises(InputError, match="Expected a"):
        register_segmenter(name, loader)


def test_a_segmenter_is_named_by_module_and_class():
    assert load_segmenter(f"{__name__}:OnDevice", device="cpu").device == "cpu"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:Mine", "no.such.module:Mine: cannot be imported as a segmenter"),
        (f"{__name__}:Missing", "cannot be imported as a segmenter"),
        (f"{__name__}:NUMBER", "expected a class or a function"),
        (f"{__name__}:returns_a_number", "can be called with an image and prompts, but got int"),
        (f"{__name__}:NeedsSettings", "needs no argument except device.*'threshold'"),
        (f"{__name__}:no_candidates", "that returns a segmenter and needs no argument"),
        (3, "Expected the name or folder of a segmenter, but got 3"),
    ],
)
def test_a_wrong_module_or_class(name, message):
    with pytest.raises(InputError, match=message):
        load_segmenter(name)


def test_a_device_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="cuda:99"):
        load_segmenter(f"{__name__}:OnDevice", device="cuda:99")


def test_a_segmenter_is_found_by_its_entry_point(monkeypatch):
    point = EntryPoint("mine", f"{__name__}:OnDevice", registry.ENTRY_POINTS)
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name=None: [point] if name in (None, "mine") else [],
    )
    assert isinstance(load_segmenter("mine"), OnDevice)
    with pytest.raises(UnknownNameError, match=r"Unknown segmenter 'mime'. Registered: mine\."):
        load_segmenter("mime")


def test_folders_and_hub_names_are_sam_models(monkeypatch, tmp_path):
    model = tiny_sam()
    model.save_pretrained(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "./mine", Path("mine"), tmp_path / "mine"):
        assert isinstance(load_segmenter(name, device="cpu"), SamSegmenter)
    register_segmenter("mine", OnDevice)
    assert isinstance(load_segmenter("mine"), OnDevice)
    assert isinstance(load_segmenter("./mine"), SamSegmenter)
    names = []
    monkeypatch.setattr(SamSegmenter, "load", lambda name, device: names.append((name, device)))
    load_segmenter("facebook/sam-vit-base", device="cpu")
    assert names == [("facebook/sam-vit-base", "cpu")]


def test_the_registry_is_public():
    for name in ("Candidates", "Prompt", "Segmenter", "load_segmenter", "register_segmenter"):
        assert name in clip_surgery.__all__
        assert getattr(clip_surgery, name) is not None
