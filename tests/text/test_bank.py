"""Text features, compared with the mean over full-length prompts, one text at a time."""

import copy
from dataclasses import replace

import open_clip
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.packing import (
    common_prefixes,
    index_by_prefix,
    pack,
    prefixes_of,
    without_prefixes,
)
from clip_surgery.text.prefixes import encode_prompts
from clip_surgery.text.templates import TEMPLATE_SETS
from tests.towers import assert_same_state, state_of, tiny_hugging_face, tiny_open_clip

LABELS = ["cat", "dining table", "a very old, very small and rather rusty bicycle", "tvmonitor"]
TEMPLATES = ["a photo of a {}.", "{}", "{}s", "a photo of the {} in the rain", "a photo of {}"]


@pytest.fixture(scope="module")
def model():
    return tiny_open_clip()


@pytest.fixture(scope="module")
def backbone(model):
    return wrap_backbone(model)


def plain_ensemble(model, tower, texts, templates):
    rows = []
    for text in texts:
        ids = tower.tokenize([template.replace("{}", text) for template in templates])
        features = model.encode_text(ids).float()
        features = features / features.norm(dim=-1, keepdim=True)
        mean = features.mean(dim=0)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def plain_features(model, ids):
    return model.encode_text(ids.flatten(0, 1)).unflatten(0, ids.shape[:2])


def close(actual, expected, tolerance=2e-6):
    torch.testing.assert_close(actual, expected, atol=tolerance, rtol=0)


@torch.no_grad()
def test_equals_the_mean_over_full_length_prompts(model, backbone):
    features = encode_texts(backbone, LABELS)
    plain = plain_ensemble(model, backbone.text_tower, LABELS, TEMPLATE_SETS["clip_surgery"])
    empty = plain_ensemble(model, backbone.text_tower, [""], TEMPLATE_SETS["clip_surgery"])
    assert features.texts == tuple(LABELS)
    close(features.labels, plain)
    close(features.empty, empty[0])
    close(features.labels.norm(dim=-1), torch.ones(len(LABELS)))


@pytest.mark.parametrize("templates", [TEMPLATES, ["{}"], ["{}s"], TEMPLATES[:1]])
@pytest.mark.parametrize("texts", [LABELS, LABELS[:1], ["cat", "cats", "cat s"]])
@torch.no_grad()
def test_any_templates_and_texts(model, backbone, templates, texts):
    features = encode_texts(backbone, texts, templates=templates)
    close(features.labels, plain_ensemble(model, backbone.text_tower, texts, templates))


@pytest.mark.parametrize(
    "text",
    [
        {"layers": 1},
        {"pool_type": "last"},
        {"pool_type": "first"},
        {"pool_type": "eos", "eos_id": 49407},
        {"no_causal_mask": True},
        {"no_causal_mask": True, "pool_type": "last"},
        {"context_length": 24},
        {"ls_init_value": 0.3},
        {"proj_bias": True},
    ],
    ids=str,
)
@torch.no_grad()
def test_towers_of_all_kinds(text):
    model = tiny_open_clip(text=text)
    backbone = wrap_backbone(model)
    assert backbone.text_tower.causal is not text.get("no_causal_mask", False)
    features = encode_texts(backbone, LABELS, templates=TEMPLATES)
    close(features.labels, plain_ensemble(model, backbone.text_tower, LABELS, TEMPLATES))


@torch.no_grad()
def test_features_do_not_depend_on_order_or_other_texts(backbone):
    together = encode_texts(backbone, LABELS)
    backwards = encode_texts(backbone, LABELS[::-1])
    close(backwards.labels.flip(0), together.labels)
    for row, label in zip(together.labels, LABELS, strict=True):
        alone = encode_texts(backbone, [label])
        close(alone.labels[0], row)
        close(alone.empty, together.empty)


@pytest.mark.parametrize("chunk_tokens", [1, 13, 200])
@torch.no_grad()
def test_features_do_not_depend_on_chunk_tokens(backbone, chunk_tokens):
    whole = encode_texts(backbone, LABELS, templates=TEMPLATES)
    pieces = encode_texts(backbone, LABELS, templates=TEMPLATES, chunk_tokens=chunk_tokens)
    close(pieces.labels, whole.labels)


@torch.no_grad()
def test_many_texts_are_encoded_in_batches(backbone, monkeypatch):
    whole = encode_texts(backbone, LABELS, templates=TEMPLATES)
    monkeypatch.setattr("clip_surgery.text.bank._MAX_PROMPTS", 7)
    close(encode_texts(backbone, LABELS, templates=TEMPLATES).labels, whole.labels)


@torch.no_grad()
def test_long_prompts_are_refused_or_cut(model, backbone):
    long = "dog " * 90
    with pytest.raises(InputError, match="77"):
        encode_texts(backbone, ["cat", long])
    cut = encode_texts(backbone, ["cat", long], templates="photo", truncate=True)
    ids = backbone.text_tower.tokenize([f"a photo of a {long.strip()}."], truncate=True)
    close(cut.labels[1], F.normalize(model.encode_text(ids), dim=-1)[0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.no_grad()
def test_half_precision(backbone, dtype):
    half = wrap_backbone(copy.deepcopy(backbone.model).to(dtype))
    exact = encode_texts(backbone, LABELS)
    rounded = encode_texts(half, LABELS)
    assert rounded.labels.dtype == torch.float32
    close(rounded.labels.norm(dim=-1), torch.ones(len(LABELS)))
    assert (rounded.labels * exact.labels).sum(dim=-1).min() > 0.999


def test_gradients_equal_those_of_full_length_prompts():
    direction = torch.randn(len(LABELS), 24, generator=torch.Generator().manual_seed(1))
    gradients = []
    for bank in (True, False):
        model = tiny_open_clip()
        backbone = wrap_backbone(model)
        if bank:
            features = encode_texts(backbone, LABELS, templates=TEMPLATES, chunk_tokens=60).labels
        else:
            features = plain_ensemble(model, backbone.text_tower, LABELS, TEMPLATES)
        (features * direction).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    shared, plain = gradients
    assert shared.keys() == plain.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(shared[name], gradient, atol=5e-5, rtol=1e-4)


@torch.no_grad()
def test_the_model_is_not_changed(model, backbone):
    before = state_of(model)
    encode_texts(backbone, LABELS)
    assert_same_state(before, state_of(model))


@torch.no_grad()
def test_transformers_tower():
    model = tiny_hugging_face()
    backbone = wrap_backbone(model, tokenizer=open_clip.SimpleTokenizer())
    ids = backbone.text_tower.tokenize([t.replace("{}", "cat") for t in TEMPLATES])
    pooled = model.text_model(input_ids=ids).pooler_output
    plain = F.normalize(model.text_projection(pooled), dim=-1).mean(dim=0)
    features = encode_texts(backbone, LABELS, templates=TEMPLATES)
    close(features.labels[0], F.normalize(plain, dim=-1))


def counting(backbone, counts):
    """The backbone, with a count of the tokens that enter the feed-forward of each block."""

    def counted(number, block):
        def feed_forward(tokens):
            counts[number] = counts.get(number, 0) + tokens.shape[0] * tokens.shape[1]
            return block.feed_forward(tokens)

        return replace(block, feed_forward=feed_forward)

    tower = backbone.text_tower
    blocks = tuple(counted(number, block) for number, block in enumerate(tower.blocks))
    return replace(backbone, text_tower=replace(tower, blocks=blocks))


@torch.no_grad()
def test_shared_prefixes_are_computed_once(backbone):
    nouns = ["cat", "dog", "bench", "person", "car", "tree", "sky", "road", "wall"]
    counts = {}
    encode_texts(counting(backbone, counts), nouns)
    prompts = (len(nouns) + 1) * 85
    # a noun, the full stop and the end token; the empty text has one less
    own = sum(len(nouns) * n + n - 1 for n in (3,) * 85)
    assert own < counts[0] < 1.35 * own
    assert counts[len(counts) - 1] == prompts


@torch.no_grad()
def test_encoding_without_shared_prefixes_gives_the_same_features(model, backbone):
    tower = backbone.text_tower
    prompts = [t.replace("{}", label) for label in LABELS for t in TEMPLATES]
    ids = tower.tokenize(prompts).unflatten(0, (len(LABELS), len(TEMPLATES)))
    plain = plain_features(model, ids)
    close(encode_prompts(tower, ids), plain, 5e-6)
    close(encode_prompts(tower, ids, share_prefixes=False), plain, 5e-6)


@st.composite
def token_ids(draw):
    """Prompts (L, M, 24) of few different tokens, so that many share prefixes."""
    prompts, templates = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    own = st.lists(st.integers(1, 2), min_size=0, max_size=22)
    ids = torch.zeros(prompts, templates, 24, dtype=torch.int64)
    for label in range(prompts):
        for template in range(templates):
            words = [49406, *draw(own), 49407]
            ids[label, template, : len(words)] = torch.tensor(words)
    return ids


SHORT = tiny_open_clip(text={"context_length": 24, "layers": 2})


@given(token_ids(), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
@torch.no_grad()
def test_any_token_ids(ids, chunk_tokens):
    features = encode_prompts(wrap_backbone(SHORT).text_tower, ids, chunk_tokens=chunk_tokens)
    close(features, plain_features(SHORT, ids), 5e-6)


@given(token_ids(), st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_packing_keeps_every_token(ids, chunk_tokens):
    ends = ids.argmax(dim=-1)
    prefixes = prefixes_of(ids, common_prefixes(ids, ends))
    indices = index_by_prefix(prefixes)
    prefix_by_index = {(len(prefix), number): prefix for prefix, number in indices.items()}
    seen = {}
    for row in pack(without_prefixes(ids, ends, prefixes, cut=True), chunk_tokens):
        prompts = [prompt for run in row for prompt in run.prompts]
        assert sum(p.start + len(p.ids) for p in prompts) <= chunk_tokens or len(prompts) == 1
        for run in row:
            assert all((p.start, len(p.ids)) == (run.start, run.length) for p in run.prompts)
        for prompt in prompts:
            assert prompt.ids[prompt.end] == 49407
            seen[prompt.index] = prefix_by_index[prompt.start, prompt.prefix] + prompt.ids
    whole = [
        tuple(line[: end + 1])
        for line, end in zip(ids.flatten(0, 1).tolist(), ends.flatten().tolist(), strict=True)
    ]
    assert [seen[index] for index in range(len(whole))] == whole
    assert len(seen) == len(whole)


@pytest.mark.parametrize(
    ("texts", "templates", "error"),
    [
        ("cat", "photo", InputError),
        ([], "photo", InputError),
        (["cat", " cat"], "photo", InputError),
        ([""], "photo", InputError),
        ([7], "photo", InputError),
        (["cat"], "imagnet", UnknownNameError),
        (["cat"], ["a photo"], InputError),
        (["cat"], [], InputError),
    ],
)
def test_invalid_texts_and_templates_are_refused(backbone, texts, templates, error):
    with pytest.raises(error):
        encode_texts(backbone, texts, templates=templates)
