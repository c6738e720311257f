"""Damaged configuration files and unusual paths raise a ClipSurgeryError that names the file."""

import copy
import hashlib
import json
import random

import pytest
import torch
from safetensors.torch import save_file

from clip_surgery.backbones.config_files import is_file, is_folder, read_json_object, three_numbers
from clip_surgery.backbones.loading import load_backbone
from clip_surgery.backbones.open_clip.torch_script import conversion
from clip_surgery.errors import ClipSurgeryError, InputError, WeightsError
from clip_surgery.segmenters.sam import SamSegmenter
from tests.towers import clip_tokenizer, tiny_config, tiny_hugging_face, tiny_open_clip

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]
MUTATIONS = 12  # per format of a folder, with a fixed seed
VALUES = (None, {}, [], "", "word", -1, 0, 3, 0.5, True, [1, 2], {"unknown": 1}, float("nan"))


def open_clip_folder(folder):
    config = {"model_cfg": tiny_config(), "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tiny_open_clip().state_dict(), folder / "open_clip_model.safetensors")
    return ["open_clip_config.json"]


def demo_folder(folder):
    weights = folder / "model.safetensors"
    save_file(tiny_open_clip().state_dict(), weights)
    config = {
        "model_cfg": tiny_config(),
        "preprocess_cfg": {"size": [32, 32], "mean": MEAN, "std": STD},
        "nouns": ["cat", "tree"],
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return ["config.json"]


def hugging_face_folder(folder):
    tiny_hugging_face().save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN, "image_std": STD, "image_processor_type": "X"})
    )
    return ["config.json", "preprocessor_config.json"]


FOLDERS = {
    "open_clip": open_clip_folder,
    "demo": demo_folder,
    "hugging_face": hugging_face_folder,
}


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    return path, FOLDERS[request.param](path)


def paths_into(value, path=()):
    """The paths of all values in a nested configuration, as keys and indices from its root."""
    if path:
        yield path
    items = dict(enumerate(value)) if isinstance(value, list) else value
    for key in items if isinstance(items, dict) else ():
        yield from paths_into(value[key], (*path, key))


def mutated(config, rng):
    config = copy.deepcopy(config)
    path = rng.choice(sorted(paths_into(config), key=str))
    parent = config
    for key in path[:-1]:
        parent = parent[key]
    kind = rng.choice(["replace", "replace", "remove", "add"])
    if kind == "remove":
        del parent[path[-1]]
    elif kind == "add" and isinstance(parent, dict):
        parent["unexpected"] = rng.choice(VALUES)
    else:
        parent[path[-1]] = rng.choice(VALUES)
    return config, f"{kind} {path}"


def loads_or_is_refused(path):
    """Load the folder, or check that the error is this library's and names the folder."""
    try:
        load_backbone(str(path))
    except ClipSurgeryError as error:
        message = str(error)
    else:
        return
    assert path.name in message
    assert "\n" not in message


def fuzz(path, files, *, seed, count):
    rng = random.Random(seed)
    originals = {name: (path / name).read_text() for name in files}
    try:
        for _ in range(count):
            name = rng.choice(files)
            config, change = mutated(json.loads(originals[name]), rng)
            (path / name).write_text(json.dumps(config))
            try:
                loads_or_is_refused(path)
            except Exception as error:
                raise AssertionError(f"{name}: {change}") from error
            (path / name).write_text(originals[name])
    finally:
        for name, text in originals.items():
            (path / name).write_text(text)


@pytest.mark.slow
def test_mutated_configurations_load_or_are_refused_by_name(folder):
    path, files = folder
    fuzz(path, files, seed=0, count=MUTATIONS)


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"model_cfg":' * 100_000, "[]", "3", "null", '"model_cfg"', "{", "\x00", ""],
)
def test_configurations_that_are_no_object_are_refused_by_name(folder, text):
    path, files = folder
    for name in files:
        original = (path / name).read_text()
        (path / name).write_text(text)
        try:
            loads_or_is_refused(path)
            with pytest.raises(WeightsError, match=name):
                read_json_object(path / name)
        finally:
            (path / name).write_text(original)


def change(file, field, value):
    config = json.loads(file.read_text())
    inner = config
    *parents, last = field.split(".")
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    file.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("make", "name", "field", "value"),
    [
        ("open_clip", "open_clip_config.json", "model_cfg", None),
        ("open_clip", "open_clip_config.json", "model_cfg.vision_cfg", None),
        ("open_clip", "open_clip_config.json", "model_cfg.text_cfg", None),
        ("open_clip", "open_clip_config.json", "model_cfg.embed_dim", None),
        ("open_clip", "open_clip_config.json", "model_cfg.text_cfg.context_length", "long"),
        ("open_clip", "open_clip_config.json", "model_cfg.text_cfg.tokenizer_kwargs", {"odd": 1}),
        ("open_clip", "open_clip_config.json", "model_cfg.text_cfg.tokenizer_kwargs", 3),
        ("open_clip", "open_clip_config.json", "preprocess_cfg.mean", [0.5, 0.5]),
        ("open_clip", "open_clip_config.json", "preprocess_cfg.std", [0.5, None, 0.5]),
        ("demo", "config.json", "nouns", None),
        ("demo", "config.json", "nouns", [1, 2]),
        ("demo", "config.json", "other_words", "red"),
        ("demo", "config.json", "other_words", [None]),
        ("demo", "config.json", "preprocess_cfg", {}),
        ("demo", "config.json", "preprocess_cfg.mean", [0.5, 0.5]),
        ("demo", "config.json", "sha256", None),
        ("hugging_face", "preprocessor_config.json", "image_mean", [0.5, 0.5]),
        ("hugging_face", "preprocessor_config.json", "image_std", "bright"),
    ],
)
def test_wrong_fields_are_named_with_their_file(tmp_path, make, name, field, value):
    FOLDERS[make](tmp_path)
    change(tmp_path / name, field, value)
    with pytest.raises(WeightsError) as caught:
        load_backbone(str(tmp_path))
    part = "odd" if value == {"odd": 1} else field.rpartition(".")[2]
    if field == "preprocess_cfg":
        part = "preprocess_cfg.mean"
    assert part in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("std", [[0, 0, 0], [0.2, -1, 0.2], [float("nan")] * 3])
@pytest.mark.parametrize("make", FOLDERS)
def test_a_std_that_is_not_positive_is_refused_by_name(tmp_path, make, std):
    FOLDERS[make](tmp_path)
    if make == "hugging_face":
        change(tmp_path / "preprocessor_config.json", "image_std", std)
    else:
        name = "config.json" if make == "demo" else "open_clip_config.json"
        change(tmp_path / name, "preprocess_cfg.std", std)
    with pytest.raises(ClipSurgeryError, match="std"):
        load_backbone(str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value):
    open_clip_folder(tmp_path)
    model = tiny_open_clip()
    with torch.no_grad():
        model.visual.proj[0, 0] = value
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    with pytest.raises(WeightsError, match=r"1 of 768 values of visual\.proj .*NaN or infinite"):
        load_backbone(str(tmp_path))


SCHEMES = ("", "open_clip:", "local-dir:", "hugging_face:", "hf-hub:", "open_clip:ViT-B-16/")


@pytest.mark.parametrize("path", ["a\x00b", "x" * 5000, "a\nb\x1b[31m"])
def test_paths_that_no_file_system_accepts_are_refused(path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    calls = [lambda scheme=scheme: load_backbone(scheme + path) for scheme in SCHEMES]
    calls.append(lambda: load_backbone("open_clip:ViT-B-16", checkpoint=path))
    calls.append(lambda: SamSegmenter.load(path, device="cpu"))
    for call in calls:
        with pytest.raises(ClipSurgeryError) as caught:
            call()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 4000
    assert not is_file(path)
    assert not is_folder(path)


@pytest.mark.parametrize("name", [None, 5, b"demo"])
def test_names_that_are_no_strings_are_refused(name):
    with pytest.raises(InputError, match="as a string"):
        load_backbone(name)


@pytest.mark.parametrize("value", [0.5, [0.5, 0.5, 0.5], (0.5, 0.5, 0.5)])
def test_three_numbers(value):
    assert three_numbers(value, "mean", source="file") == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("value", [None, True, "abc", [1, 2], [1, 2, "3"], [1, 2, 10**400], {}])
def test_a_value_that_is_not_three_numbers_is_refused(value):
    with pytest.raises(WeightsError, match="from file: expected mean to be three finite numbers"):
        three_numbers(value, "mean", source="file")


@pytest.mark.filterwarnings("ignore")
def test_a_torch_script_archive_is_refused_with_the_code_that_converts_it(tmp_path):
    """The code in the message is run, and the converted file can be loaded."""

    class WithSettings(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Linear(2, 2)
            self.register_buffer("context_length", torch.tensor(77))

        def forward(self, values):
            return self.model(values)

    file, converted = tmp_path / "clip.pt", tmp_path / "clip.weights.pt"
    torch.jit.save(torch.jit.script(WithSettings()), file)
    with pytest.raises(WeightsError, match="TorchScript") as caught:
        load_backbone("open_clip:ViT-B-32-quickgelu", checkpoint=file)
    assert conversion(file, converted) in str(caught.value)
    exec(conversion(file, converted), {})
    assert set(torch.load(converted, weights_only=True)) == {"model.weight", "model.bias"}
