"""Load models by names, devices, types and folders with the loading code of both libraries."""

import json
import subprocess
import sys
from types import SimpleNamespace

import open_clip
import pytest
import torch
from open_clip import factory, pretrained
from safetensors.torch import load_file, save_file

from clip_surgery.backbones.devices import resolve_dtype
from clip_surgery.backbones.loading import load_backbone
from clip_surgery.backbones.model_names import Source, list_backbones, parse_name
from clip_surgery.errors import (
    InputError,
    MissingExtraError,
    UnknownNameError,
    UnsupportedModelError,
    WeightsError,
)
from tests.backbones.plain_walk import encode_ids, encode_pixels
from tests.towers import (
    clip_tokenizer,
    tiny_config,
    tiny_hugging_face,
    tiny_open_clip,
    token_ids,
)
from tests.zoo import (
    SIGLIP_TEXT,
    SMALL,
    TEXT,
    image_features,
    shrunk_timm,
    tiny_coca,
    tiny_resnet,
    tiny_timm_siglip,
)

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("open_clip")
    config = {"model_cfg": tiny_config(), "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tiny_open_clip().state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def hugging_face_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transformers")
    tiny_hugging_face().save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": MEAN, "image_std": STD, "image_processor_type": "X"})
    )
    return folder


@pytest.fixture
def tiny_architecture(monkeypatch):
    """Add an architecture `tiny` to open_clip, with one tag that was trained with QuickGELU."""
    config = tiny_config(quick_gelu=False)
    tag = {"hf_hub": "someone/tiny/", "quick_gelu": True, "mean": MEAN, "std": STD}
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny-B-8", config)
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", {"good": tag})


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """An empty cache of the hub; a function that adds a file to it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def add(repository, name, data):
        home = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / "main").write_text("abc")
        snapshot = home / "snapshots" / "abc"
        snapshot.mkdir(parents=True, exist_ok=True)
        (snapshot / name).write_bytes(data)

    return add


def assert_same_model(backbone, model):
    with torch.no_grad():
        for size in ((32, 32), (48, 24)):
            pixels = torch.randn(1, 3, *size)
            actual = encode_pixels(backbone.tower, pixels)
            assert actual.shape == (1, 24)
        pixels = torch.randn(2, 3, 32, 32)
        if hasattr(model, "encode_image"):
            images, texts = model.encode_image(pixels), model.encode_text(token_ids())
        else:
            images = model.get_image_features(pixels).pooler_output
            texts = model.get_text_features(token_ids()).pooler_output
        torch.testing.assert_close(encode_pixels(backbone.tower, pixels), images)
        torch.testing.assert_close(encode_ids(backbone.text_tower, token_ids()), texts)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("demo", Source("demo", "")),
        ("open_clip:ViT-B-16/openai", Source("open_clip", "ViT-B-16/openai")),
        ("hf-hub:laion/x", Source("hf-hub", "laion/x")),
        ("hugging_face:openai/x", Source("hugging_face", "openai/x")),
        ("local-dir:/nowhere", Source("folder", "/nowhere")),
    ],
)
def test_names(name, source):
    assert parse_name(name) == source


def test_names_of_folders(tmp_path, monkeypatch):
    assert parse_name(str(tmp_path)) == Source("folder", str(tmp_path))
    assert parse_name(f"open_clip:{tmp_path}") == Source("folder", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert parse_name("demo").scheme == "demo"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dmeo", "Did you mean 'demo'"),
        ("openclip:ViT-B-16/openai", "Did you mean 'open_clip'"),
        ("huggingface:openai/x", "Did you mean 'hugging_face'"),
        ("ViT-B-16/openai", "Expected demo, open_clip:ARCH/TAG"),
        ("open_clip:", "Unknown model"),
        ("", "Unknown model ''"),
        (__file__, "it is a file"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(UnknownNameError, match=message):
        load_backbone(name)


BAD_SETTINGS = {
    "type": ({"dtype": "float64"}, UnknownNameError, "dtype 'float64'"),
    "device": ({"device": "gpu"}, InputError, "auto, cuda, mps or cpu, but got 'gpu'"),
    "absent device": ({"device": "cuda:99"}, InputError, "'cuda:99' is not"),
    "positions": ({"positions": "nearest"}, UnknownNameError, "position mode"),
    "checkpoint of another": ({"checkpoint": __file__}, InputError, "open_clip:ARCH with"),
}


@pytest.mark.parametrize("case", BAD_SETTINGS)
def test_bad_settings(case):
    settings, error, message = BAD_SETTINGS[case]
    with pytest.raises(error, match=message):
        load_backbone("demo", **settings)


BAD_OPEN_CLIP = {
    "architecture": ("open_clip:ViT-B-61/openai", UnknownNameError, "ViT-B-16"),
    "tag": ("open_clip:ViT-B-16/opnai", UnknownNameError, "Did you mean 'openai'"),
    "no tag": ("open_clip:ViT-B-16", InputError, r"TAG or a checkpoint file .* Tags: openai"),
    "ConvNeXt": (
        "open_clip:convnext_base/laion400m_s13b_b51k",
        UnsupportedModelError,
        "convnext_base: the timm tower convnext_base is not supported",
    ),
    "FastViT": ("open_clip:MobileCLIP-S1/datacompdr", UnsupportedModelError, "tower fastvit_mci1"),
}


@pytest.mark.parametrize("case", BAD_OPEN_CLIP)
def test_names_that_open_clip_does_not_have_or_that_are_not_supported(case):
    name, error, message = BAD_OPEN_CLIP[case]
    with pytest.raises(error, match=message):
        load_backbone(name)


def test_open_clip_folder(open_clip_folder):
    for name in (str(open_clip_folder), f"local-dir:{open_clip_folder}"):
        backbone = load_backbone(name)
        assert_same_model(backbone, tiny_open_clip())
        assert (backbone.image_mean, backbone.image_std) == (MEAN, STD)
        assert backbone.name == f"open_clip:{open_clip_folder}"
        assert not backbone.model.training


def test_hugging_face_folder(hugging_face_folder):
    for name in (str(hugging_face_folder), f"hugging_face:{hugging_face_folder}"):
        backbone = load_backbone(name)
        assert_same_model(backbone, tiny_hugging_face())
        assert (backbone.image_mean, backbone.image_std) == (MEAN, STD)
        assert backbone.text_tower.tokenize(["a cat"])[0, :4].tolist() == [49406, 320, 2368, 49407]


def test_hugging_face_folder_without_extras(tmp_path):
    """Without tokenizer and processor, those of CLIP and the normalisation of OpenAI are used."""
    tiny_hugging_face().save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    assert backbone.image_mean[0] == pytest.approx(0.48145466)
    assert backbone.text_tower.tokenize(["a cat"])[0, :4].tolist() == [49406, 320, 2368, 49407]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_types(open_clip_folder, hugging_face_folder, dtype):
    for folder in (open_clip_folder, hugging_face_folder):
        backbone = load_backbone(str(folder), dtype=dtype, device="cpu")
        kinds = {value.dtype for value in backbone.model.parameters()}
        assert kinds == {resolve_dtype(dtype)} == {backbone.dtype}
        assert encode_pixels(backbone.tower, torch.randn(1, 3, 40, 32)).isfinite().all()


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_checkpoint_file(tiny_architecture, tmp_path, suffix):
    model, file = tiny_open_clip(quick_gelu=False), tmp_path / f"weights.{suffix}"
    if suffix == "pt":
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
    else:
        save_file(model.state_dict(), file)
    for checkpoint in (file, str(file)):
        backbone = load_backbone("open_clip:tiny", checkpoint=checkpoint)
        assert_same_model(backbone, model)
    assert backbone.name == f"open_clip:tiny weights.{suffix}"


CHECKPOINTS = {
    "ResNet": (
        tiny_resnet,
        tiny_config(
            visual={"layers": [1, 1, 1, 1], "width": 4, "head_width": 32, "image_size": 64}
        ),
    ),
    "SigLIP": (
        tiny_timm_siglip,
        {
            "embed_dim": 32,
            "custom_text": True,
            "vision_cfg": {
                "image_size": 32,
                "timm_model_name": "vit_base_patch16_siglip_224",
                "timm_pool": "map",
                "timm_proj": "none",
            },
            "text_cfg": SIGLIP_TEXT,
        },
    ),
    "CoCa": (
        tiny_coca,
        {
            "embed_dim": 24,
            "custom_text": True,
            "vision_cfg": {
                **tiny_config()["vision_cfg"],
                "attentional_pool": True,
                "attn_pooler_heads": 4,
                "output_tokens": True,
            },
            "text_cfg": {**TEXT, "embed_cls": True, "output_tokens": True},
            "multimodal_cfg": {**TEXT, "layers": 1, "dim_head": 16},
        },
    ),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
@torch.no_grad()
def test_checkpoints_of_other_towers(kind, tmp_path, monkeypatch):
    """Weights from a file get the normalisation of all weights for the name in open_clip."""
    make, config = CHECKPOINTS[kind]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)
    half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny", {"webli": half})
    model = make()
    if kind == "CoCa":  # the caption decoder is not supported, so its weights do not matter
        model.text_decoder.text_projection.fill_(float("nan"))
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    with shrunk_timm(**SMALL):
        backbone = load_backbone("open_clip:tiny", checkpoint=tmp_path / "w.safetensors")
    pixels = torch.randn(1, 3, backbone.image_size, backbone.image_size)
    actual = encode_pixels(backbone.tower, pixels)
    torch.testing.assert_close(actual, image_features(model, pixels))
    assert backbone.image_mean == backbone.image_std == (0.5, 0.5, 0.5)
    assert not backbone.model.training


def test_openai_spelling_of_architectures(tiny_architecture, tmp_path):
    save_file(tiny_open_clip().state_dict(), tmp_path / "w.safetensors")
    backbone = load_backbone("open_clip:tiny-B/8", checkpoint=tmp_path / "w.safetensors")
    assert backbone.name == "open_clip:tiny-B-8 w.safetensors"


def test_tag_in_the_hubs_cache_needs_no_network(tiny_architecture, hub_cache, open_clip_folder):
    data = (open_clip_folder / "open_clip_model.safetensors").read_bytes()
    hub_cache("someone/tiny", "open_clip_model.safetensors", data)
    backbone = load_backbone("open_clip:tiny/good")
    assert backbone.name == "open_clip:tiny/good"
    assert_same_model(backbone, tiny_open_clip(quick_gelu=True))  # as the tag requires
    assert (backbone.image_mean, backbone.image_std) == (MEAN, STD)


def test_repository_in_the_hubs_cache_needs_no_network(hub_cache, open_clip_folder):
    for name in ("open_clip_model.safetensors", "open_clip_config.json"):
        hub_cache("someone/tiny", name, (open_clip_folder / name).read_bytes())
    backbone = load_backbone("hf-hub:someone/tiny")
    assert backbone.name == "hf-hub:someone/tiny"
    assert_same_model(backbone, tiny_open_clip())


@pytest.mark.parametrize(
    "name",
    [
        "open_clip:ViT-B-16/openai",
        "open_clip:RN50/openai",
        "open_clip:ViT-B-16-SigLIP/webli",
        "open_clip:EVA02-B-16/merged2b_s8b_b131k",
        "open_clip:coca_ViT-B-32/laion2b_s13b_b90k",
        "hf-hub:laion/nothing",
        "hugging_face:openai/nothing",
    ],
)
@pytest.mark.parametrize("reason", ["offline mode", "no network"])
def test_nothing_cached_and_no_network(name, reason, hub_cache, monkeypatch):
    requests = []

    def head(url, **settings):
        requests.append(settings["timeout"])
        raise ConnectionError("no route to host")

    if reason == "no network":
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.get_session", lambda: SimpleNamespace(head=head))
    with pytest.raises(WeightsError) as caught:
        load_backbone(name)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"Could not fetch {name}")
    assert "--checkpoint FILE" in message
    assert "'demo' works offline" in message
    assert requests == ([] if reason == "offline mode" else [5])  # one short request, no retries


def test_no_network_for_a_tokenizer(hub_cache, tmp_path, monkeypatch):
    """Towers of CLIPA are those of open_clip, but its tokenizer is that of BERT on the hub."""
    config = tiny_config(text={"hf_tokenizer_name": "bert-base-uncased"})
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny", config)
    save_file(tiny_open_clip().state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="fetch the tokenizer bert-base-uncased: offline mode"):
        load_backbone("open_clip:tiny", checkpoint=tmp_path / "w.safetensors")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install"):
        load_backbone("open_clip:tiny", checkpoint=tmp_path / "w.safetensors")


def test_folder_with_a_tokenizer(tmp_path):
    config = {"model_cfg": tiny_config(text={"hf_tokenizer_name": "someone/else"})}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    save_file(tiny_open_clip().state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="no tokenizer"):
        load_backbone(str(tmp_path))
    tiny_hugging_face().config.save_pretrained(
        tmp_path
    )  # transformers now creates one without word pieces
    with pytest.raises(WeightsError, match="no tokenizer: its files are missing"):
        load_backbone(str(tmp_path))
    clip_tokenizer().save_pretrained(tmp_path)
    ids = load_backbone(str(tmp_path)).text_tower.tokenize(["a cat"])
    assert ids[0, :4].tolist() == [49406, 320, 2368, 49407]


def test_a_tag_and_a_checkpoint(tiny_architecture, tmp_path):
    (tmp_path / "w.pt").touch()
    with pytest.raises(InputError, match="the tag 'good' too"):
        load_backbone("open_clip:tiny/good", checkpoint=tmp_path / "w.pt")


def bad_files(folder):
    """Write files that are not checkpoints of the tiny model."""
    weights = tiny_open_clip().state_dict()
    save_file(weights, folder / "cut.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "cut.safetensors").read_bytes()[:100_000])
    torch.save(weights, folder / "cut.pt")
    (folder / "cut.pt").write_bytes((folder / "cut.pt").read_bytes()[:100_000])
    torch.save({"state_dict": open_clip.SimpleTokenizer}, folder / "code.pt")
    torch.save({}, folder / "nothing.pt")
    save_file(tiny_open_clip(embed_dim=8).state_dict(), folder / "other.safetensors")
    save_file(dict(list(weights.items())[:-2]), folder / "short.safetensors")
    (folder / "empty.safetensors").touch()
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("hello")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    bad_files(folder)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "cut.safetensors",
        "cut.pt",
        "code.pt",
        "nothing.pt",
        "other.safetensors",
        "short.safetensors",
        "empty.safetensors",
        "empty.pt",
        "text.pt",
    ],
)
def test_damaged_files_are_named(tiny_architecture, damaged, name):
    with pytest.raises(WeightsError) as caught:
        load_backbone("open_clip:tiny", checkpoint=damaged / name)
    assert str(damaged / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tiny_architecture, tmp_path):
    with pytest.raises(WeightsError, match="there is none at"):
        load_backbone("open_clip:tiny", checkpoint=tmp_path / "none.pt")
    with pytest.raises(WeightsError, match="there is none at"):
        load_backbone("open_clip:tiny", checkpoint=tmp_path)


BAD_FOLDERS = {
    "empty": ({}, "neither open_clip_config.json nor config.json"),
    "no weights, open_clip": (
        {"open_clip_config.json": json.dumps({"model_cfg": tiny_config()})},
        "no .safetensors, .bin or .pth",
    ),
    "broken open_clip": ({"open_clip_config.json": "{"}, "open_clip_config.json"),
    "list": ({"open_clip_config.json": "[]"}, "open_clip_config.json"),
    "no model_cfg": ({"open_clip_config.json": "{}"}, "model_cfg is missing"),
    "no towers": ({"open_clip_config.json": '{"model_cfg": {}}'}, "model_cfg.embed_dim"),
    "broken": ({"config.json": "{"}, "Could not load weights from"),
    "no weights": ({"config.json": '{"model_type": "clip"}'}, "Could not load weights from"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_bad_folders(tmp_path, case):
    files, message = BAD_FOLDERS[case]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(WeightsError, match=message) as caught:
        load_backbone(str(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_folder():
    with pytest.raises(WeightsError, match="none at /nowhere"):
        load_backbone("local-dir:/nowhere")


def test_folder_with_another_type_of_model(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UnsupportedModelError, match=r"type clip, .*siglip2, but got 'bert'"):
        load_backbone(str(tmp_path))


def test_missing_weights_are_an_error(hugging_face_folder, tmp_path):
    """transformers would initialise missing weights with random numbers."""
    state = load_file(hugging_face_folder / "model.safetensors")
    state.pop("text_projection.weight")
    (tmp_path / "config.json").write_bytes((hugging_face_folder / "config.json").read_bytes())
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"weights missing for text_projection\.weight"):
        load_backbone(str(tmp_path))


def test_damaged_transformers_weights(hugging_face_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((hugging_face_folder / "config.json").read_bytes())
    data = (hugging_face_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(data[:100_000])
    with pytest.raises(WeightsError, match=str(tmp_path)):
        load_backbone(str(tmp_path))


def test_transformers_not_installed(hugging_face_folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clip-surgery\[transformers\]'"):
        load_backbone(str(hugging_face_folder))


def test_list():
    rows = list(list_backbones())
    names = [row.name for row in rows]
    assert names[0] == "demo"
    assert "open_clip:ViT-B-16/openai" in names
    for family in ("RN50/", "coca_ViT-L-14/", "SigLIP2", "EVA02-L", "PE-Core-L", "ViTamin-L"):
        assert any(family in name for name in names), family
    assert not [name for name in names if "convnext" in name or "MobileCLIP-S" in name]
    assert len(set(names)) == len(names) > 150
    assert all(row.source and row.note for row in rows)


@pytest.mark.slow
def test_only_the_library_of_the_model_is_imported(hugging_face_folder):
    code = (
        "import sys;"
        "from clip_surgery.backbones.loading import load_backbone;"
        "import clip_surgery.backbones.demo.loading;"
        "heavy = {'open_clip', 'transformers', 'timm', 'huggingface_hub', 'torchvision'};"
        "print(sorted(heavy & set(sys.modules)));"
        f"load_backbone({str(hugging_face_folder)!r});"
        "print('open_clip' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ["[]", "False"], result.stderr
