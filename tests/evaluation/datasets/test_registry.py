"""The registry of data sets: opening by name, registration from outside, and wrong settings."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from inspect import signature

import pytest

import clip_surgery
from clip_surgery import evaluation
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets import registry
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.registry import DATASETS, open_dataset, register_dataset
from tests.evaluation.datasets.small_trees import (
    make_context,
    make_imagenet_s,
    make_voc2007,
    make_voc2012,
    striped,
    write_image,
    write_palette,
)

NAMES = {
    *("scenes", "folder", "voc20", "voc21", "voc07", "context59", "context60", "imagenet_s50"),
    *("coco", "coco_stuff", "coco_tags", "nus_wide", "cityscapes", "ade20k"),
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees")
    make_voc2012(root, {"2007_000033": striped(1, 255)})
    make_voc2007(root, {"000001": {"dog": 1}})
    make_context(root, {"2008_000002": striped(59)})
    make_imagenet_s(root)
    write_image(root / "images/a.jpg")
    write_palette(root / "masks/a.png", striped(1))
    (root / "names.txt").write_text("cat\n")
    return root


def test_the_names():
    assert set(DATASETS) == NAMES
    assert all(entry.about for entry in DATASETS.values())


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_fixed_are_settings_of_the_loader(name):
    entry = DATASETS[name]
    settings = entry.setting_names()
    assert not set(entry.fixed) & set(settings)
    assert "root" not in settings
    parameters = signature(entry.build).parameters
    assert set(entry.fixed) <= set(parameters)
    assert ("root" in parameters) == (name != "scenes")
    assert entry.needs_root == (name != "scenes")


@pytest.mark.parametrize(
    ("name", "count"),
    {
        "voc20": 20,
        "voc21": 21,
        "voc07": 20,
        "context59": 59,
        "context60": 60,
        "imagenet_s50": 50,
        "folder": 1,
    }.items(),
)
def test_names_open_what_they_say(trees, name, count):
    dataset = open_dataset(name, trees)
    assert isinstance(dataset, Dataset)
    assert dataset.name == name
    assert len(dataset.names) == len(dataset.classes.names) == count
    assert str(trees) not in repr(dataset)
    assert dataset[0].image.mode == "RGB"


def test_settings_reach_the_loader(trees):
    with pytest.raises(InputError, match=r"trainval\.txt"):
        open_dataset("voc20", trees, split="trainval")
    assert open_dataset("scenes", seed=1, count=2).names


def test_a_wrong_name_or_setting(trees):
    with pytest.raises(UnknownNameError, match=r"Unknown data set 'voc'\. Did you mean 'voc"):
        open_dataset("voc", trees)
    with pytest.raises(UnknownNameError, match=r"setting of data set voc20 'part'.* split"):
        open_dataset("voc20", trees, part="val")
    with pytest.raises(UnknownNameError, match="setting of data set voc21 'classes'"):
        open_dataset("voc21", trees, classes=20)


def test_a_folder_that_is_needed_or_not(trees):
    with pytest.raises(InputError, match="Expected the folder it is in for data set voc20"):
        open_dataset("voc20")
    with pytest.raises(InputError, match="Expected no folder for data set scenes"):
        open_dataset("scenes", trees, seed=1, count=1)
    with pytest.raises(InputError, match=r"Data set scenes: .*'count'"):
        open_dataset("scenes", seed=1)


def test_no_loader_is_imported_before_it_is_opened():
    code = (
        "import sys; import clip_surgery.evaluation.datasets.registry;"
        "names = ('voc', 'pascal_context', 'imagenet_s', 'folder', 'coco', 'scenes');"
        "loaded = [n for n in names if f'clip_surgery.evaluation.datasets.{n}' in sys.modules];"
        "print(loaded, 'pycocotools' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.strip() == "[] False", done.stderr


class Flags:
    """A data set of another package."""

    name = "flags"
    names = ("red", "green")

    def __init__(self, root, *, count=2):
        self.root, self.count = root, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        raise IndexError(index)


def many_flags(**settings):
    return Flags("nowhere", **settings)


def no_dataset():
    return object()


@pytest.fixture
def registry_of_its_own(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(DATASETS))


@pytest.mark.usefixtures("registry_of_its_own")
def test_a_dataset_is_registered_from_outside(tmp_path):
    register_dataset("flags", Flags, about="two flags")
    dataset = open_dataset("flags", str(tmp_path), count=5)
    assert (dataset.root, len(dataset)) == (tmp_path, 5)
    register_dataset("flags", Flags)  # the same class again, as when a module is loaded twice
    with pytest.raises(InputError, match="'flags' is registered already"):
        register_dataset("flags", many_flags)
    with pytest.raises(InputError, match="Expected the folder it is in for data set flags"):
        open_dataset("flags")
    with pytest.raises(UnknownNameError, match="setting of data set flags 'split'"):
        open_dataset("flags", tmp_path, split="val")


@pytest.mark.usefixtures("registry_of_its_own")
@pytest.mark.parametrize(("name", "loader"), [("a b", Flags), (3, Flags), ("flags", "Flags")])
def test_a_wrong_registration(name, loader):
    with pytest.raises(InputError, match="Expected a"):
        register_dataset(name, loader)


def test_a_dataset_is_named_by_module_and_class(tmp_path):
    assert open_dataset(f"{__name__}:Flags", tmp_path).root == tmp_path
    assert len(open_dataset(f"{__name__}:many_flags", count=7)) == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:Flags", "no.such.module:Flags: cannot be imported as a data set"),
        (f"{__name__}:Missing", "cannot be imported as a data set"),
        (f"{__name__}:NAMES", "expected a class or a function"),
        (f"{__name__}:no_dataset", "expected an object with name, names"),
        (":", "cannot be imported"),
    ],
)
def test_a_wrong_module_or_class(name, message):
    with pytest.raises(InputError, match=message):
        open_dataset(name)


@pytest.mark.usefixtures("registry_of_its_own")
def test_a_dataset_is_found_by_its_entry_point(monkeypatch, tmp_path):
    point = EntryPoint("flags", f"{__name__}:Flags", registry.ENTRY_POINTS)
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name=None: [point] if name in (None, "flags") else [],
    )
    assert open_dataset("flags", tmp_path).name == "flags"
    with pytest.raises(UnknownNameError, match="flags"):
        open_dataset("flag", tmp_path)


@pytest.mark.parametrize("root", [5, b"folder", ["folder"]])
def test_a_folder_that_is_no_path_is_refused(root):
    with pytest.raises(InputError, match="as a path, but got"):
        open_dataset("voc20", root)


def test_everything_a_program_needs_is_exported():
    assert sorted(evaluation.__all__) == sorted(evaluation._MODULES)
    for name in evaluation.__all__:
        assert getattr(evaluation, name) is not None
    for name in ("Dataset", "Sample", "evaluate", "Protocol", "Report", "register_dataset"):
        assert getattr(clip_surgery, name) is getattr(evaluation, name)
