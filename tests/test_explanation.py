import json
import os
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size


def explained(
    *grids,
    texts=("dog", "ein Vögelchen"),
    similarity=True,
    dtype=torch.float32,
    reference_log_ratios=False,
):
    scores = tuple(torch.randn(len(texts), *grid).to(dtype) for grid in grids)
    return Explanation(
        patch_scores=scores,
        similarity=tuple(s + 1 for s in scores) if similarity else None,
        image_scores=torch.randn(len(grids), len(texts)),
        texts=texts,
        framings=tuple(
            Framing.letterbox(Size(10 * r, 7 * c), frame=Size(16 * r, 16 * c)) for r, c in grids
        ),
        images=tuple(f"folder/{index}.jpg" for index in range(len(grids))),
        method="ClipSurgery(depth=6)",
        backbone="demo",
        reference_log_ratios=torch.randn(len(grids), 2, len(texts))
        if reference_log_ratios
        else None,
    )


def assert_same(first, second):
    for name in ("patch_scores", "similarity"):
        left, right = getattr(first, name), getattr(second, name)
        assert (left is None) == (right is None)
        for a, b in zip(left or (), right or (), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)
    assert torch.equal(first.image_scores, second.image_scores)
    assert (first.reference_log_ratios is None) == (second.reference_log_ratios is None)
    assert first.reference_log_ratios is None or torch.equal(
        first.reference_log_ratios, second.reference_log_ratios
    )
    for name in ("texts", "framings", "images", "method", "backbone"):
        assert getattr(first, name) == getattr(second, name)


@pytest.mark.parametrize("similarity", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reference_log_ratios", [True, False])
@pytest.mark.parametrize("grids", [[(2, 3)], [(2, 3), (4, 1), (2, 3)], []])
def test_save_and_load(tmp_path, grids, similarity, dtype, reference_log_ratios):
    explanation = explained(
        *grids, similarity=similarity, dtype=dtype, reference_log_ratios=reference_log_ratios
    )
    path = tmp_path / "e.safetensors"
    explanation.save(path)
    assert_same(Explanation.load(path), explanation)
    assert_same(Explanation.load(str(path)), explanation)


def test_framings_come_back_as_sizes(tmp_path):
    explained((2, 3)).save(tmp_path / "e.safetensors")
    framing = Explanation.load(tmp_path / "e.safetensors").framings[0]
    assert framing.original.height == 20


def test_save_takes_views_of_one_tensor(tmp_path):
    both = torch.randn(2, 2, 3, 3)
    explanation = replace(
        explained((3, 3), (3, 3)), patch_scores=tuple(both), similarity=tuple(both)
    )
    explanation.save(tmp_path / "e.safetensors")
    assert_same(Explanation.load(tmp_path / "e.safetensors"), explanation)


def damaged(path):
    explained((2, 3)).save(path)
    path.write_bytes(path.read_bytes()[:-20])


def of_another_kind(path):
    save_file({"x": torch.zeros(1)}, path)


def with_metadata(**metadata):
    def write(path):
        save_file({"x": torch.zeros(1)}, path, metadata=metadata)

    return write


FORMAT = "clip-surgery explanation 1"


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("no explanation"),
        damaged,
        of_another_kind,
        with_metadata(format="clip-surgery explanation 99", facts="{}"),
        with_metadata(format=FORMAT),
        with_metadata(format=FORMAT, facts="{"),
        with_metadata(format=FORMAT, facts="{}"),
        with_metadata(format=FORMAT, facts="[]"),
        with_metadata(format=FORMAT, facts="[" * 100_000),
        with_metadata(
            format=FORMAT,
            facts=json.dumps(
                {
                    "texts": ["a"],
                    "images": ["b"],
                    "framings": [{"original": 3}],
                    "method": "m",
                    "backbone": "b",
                }
            ),
        ),
    ],
    ids=[
        *["missing", "folder", "empty", "text", "damaged", "other tensors", "other version"],
        *["no facts", "broken facts", "empty facts", "list of facts", "nested facts"],
        "missing tensors",
    ],
)
def test_loading_another_file_is_an_error_that_names_it(tmp_path, write):
    path = tmp_path / "e.safetensors"
    write(path)
    with pytest.raises(InputError, match=r"e\.safetensors"):
        Explanation.load(path)


def test_saving_to_an_unwritable_path_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InputError, match=r"missing.e\.safetensors"):
        explained((2, 3)).save(tmp_path / "missing" / "e.safetensors")


def test_indexing_and_iterating():
    explanation = explained((2, 3), (4, 1), reference_log_ratios=True)
    assert len(explanation) == 2
    parts = list(explanation)
    assert [part.images for part in parts] == [("folder/0.jpg",), ("folder/1.jpg",)]
    assert_same(explanation[-1], parts[1])
    assert torch.equal(parts[1].image_scores, explanation.image_scores[1:])
    assert_same(Explanation.join(parts), explanation)
    for index in (2, -3):
        with pytest.raises(IndexError, match=rf"\(folder/0.jpg, folder/1.jpg\), but got {index}"):
            explanation[index]
    with pytest.raises(IndexError, match=r"index below 0 \(none\), but got 0"):
        explained()[0]
    with pytest.raises(InputError, match="index of an image or a text, but got float"):
        explanation[0.5]


def test_indexing_by_a_text():
    explanation = explained((2, 3), (4, 1), reference_log_ratios=True)
    assert_same(explanation["dog"], explanation.only("dog"))
    assert len(explanation["dog"]) == 2
    with pytest.raises(UnknownNameError, match=r"Unknown text 'dogs'\. Did you mean 'dog'"):
        explanation["dogs"]


def test_printing_is_short_and_lists_the_best_score_of_each_text():
    explanation = replace(
        explained((2, 3), (4, 1)),
        image_scores=torch.tensor([[0.1, 0.2], [0.3, -0.5]]),
        images=("street.jpg", "red\x1b[31m.jpg"),
    )
    assert str(explanation).splitlines()[0] == (
        "Explanation(2 images, 2 texts, grid 2 x 3, 4 x 1 patches, method ClipSurgery(depth=6), "
        "backbone demo)"
    )
    assert str(explanation).splitlines()[1:] == [
        r"  dog: 0.300 in red\x1b[31m.jpg",
        "  ein Vögelchen: 0.200 in street.jpg",
    ]
    many = explained(*[(2, 3)] * 30, texts=tuple(f"text {index}" for index in range(500)))
    assert len(str(many)) < 1000
    assert "490 more texts" in str(many)
    assert str(explained()).startswith("Explanation(0 images, 2 texts, grid 0 x 0")


def test_notebooks_show_small_maps_with_escaped_names():
    explanation = explained((2, 3), (4, 1), texts=("<b>dog</b>", "cat"))
    shown = explanation._repr_html_()
    assert shown.count("data:image/png;base64,") == 4
    assert "&lt;b&gt;dog&lt;/b&gt;" in shown
    assert "<b>" not in shown
    many = explained(*[(2, 3)] * 12, texts=tuple(f"text {index}" for index in range(50)))
    assert many._repr_html_().count("<img") == 100
    assert "2 more images" in many._repr_html_()


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_notebooks_show_constant_and_broken_maps(value):
    explanation = replace(
        explained((2, 3), texts=("dog",)), patch_scores=(torch.full((1, 2, 3), value),)
    )
    assert "data:image/png" in explanation._repr_html_()


def test_a_repeated_word_yields_all_its_positions():
    explanation = explained((2, 3), texts=("a", "dog", "a"))
    assert explanation.text_indices("a") == [0, 2]
    assert explanation.text_indices(["dog", "a"]) == [1, 0, 2]
    assert explanation.only("a").texts == ("a", "a")
    with pytest.raises(InputError, match=r"'a' has the positions \[0, 2\]"):
        explanation.text_index("a")


def test_names_that_are_not_utf8_can_be_saved(tmp_path):
    explanation = replace(explained((2, 3)), images=("stra\udcdfe \x1b.jpg",))
    path = tmp_path / "e.safetensors"
    explanation.save(path)
    assert Explanation.load(path).images == explanation.images
    assert r"stra\xdfe \x1b.jpg" in repr(str(explanation))[1:-1].replace("\\\\", "\\")


@pytest.mark.parametrize("path", ["a\0b.safetensors", "x" * 5_000, "x/" * 2_500 + "e"])
def test_impossible_paths_are_input_errors(path):
    with pytest.raises(InputError):
        explained((2, 3)).save(path)
    with pytest.raises(InputError):
        Explanation.load(path)


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "e.safetensors")
    with pytest.raises(InputError, match="not a regular file"):
        Explanation.load(tmp_path / "e.safetensors")


def test_join_drops_similarity_unless_all_have_it():
    joined = Explanation.join([explained((2, 3)), explained((2, 3), similarity=False)])
    assert joined.similarity is None
    assert len(joined) == 2


def test_join_drops_reference_log_ratios_unless_all_have_them():
    joined = Explanation.join([explained((2, 3), reference_log_ratios=True), explained((2, 3))])
    assert joined.reference_log_ratios is None


def test_only_some_texts():
    explanation = explained((2, 3), (4, 1), reference_log_ratios=True)
    selected = explanation.only(["ein Vögelchen"])
    assert selected.texts == ("ein Vögelchen",)
    for name in ("patch_scores", "similarity"):
        for part, whole in zip(getattr(selected, name), getattr(explanation, name), strict=True):
            assert torch.equal(part, whole[1:])
    assert torch.equal(selected.image_scores, explanation.image_scores[:, 1:])
    assert torch.equal(selected.reference_log_ratios, explanation.reference_log_ratios[..., 1:])
    assert_same(explanation.only(explanation.texts), explanation)
    assert explanation.only(["ein Vögelchen", "dog"]).texts == ("ein Vögelchen", "dog")
    assert explained((2, 3), similarity=False).only("dog").similarity is None


def test_text_indices():
    explanation = explained((2, 3))
    assert explanation.text_indices("dog") == [0]
    assert explanation.text_indices(["ein Vögelchen", "dog"]) == [1, 0]
    with pytest.raises(InputError, match="at least one text"):
        explanation.text_indices([])


def test_join_refuses_different_texts_and_none():
    with pytest.raises(InputError, match="same texts"):
        Explanation.join([explained((2, 3)), explained((2, 3), texts=("cat", "dog"))])
    with pytest.raises(InputError, match="at least one"):
        Explanation.join([])


def test_text_index():
    explanation = explained((2, 3))
    assert explanation.text_index("ein Vögelchen") == 1
    with pytest.raises(UnknownNameError, match=r"Unknown text 'dogs'\. Did you mean 'dog'"):
        explanation.text_index("dogs")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"framings": ()}, "framings for 1 images, but got 0"),
        ({"images": ("a", "b")}, "images for 1 images, but got 2"),
        ({"similarity": ()}, "similarity for 1 images, but got 0"),
        ({"image_scores": torch.zeros(2, 2)}, r"image_scores of shape \(1, 2\)"),
        ({"image_scores": torch.zeros(1, 3)}, r"image_scores of shape \(1, 2\)"),
        ({"patch_scores": (torch.zeros(3, 2, 3),)}, r"patch_scores of shape \(2, rows, columns\)"),
        ({"patch_scores": (torch.zeros(2, 6),)}, r"but got \(2, 6\)"),
        (
            {"reference_log_ratios": torch.zeros(1, 2)},
            r"reference_log_ratios of shape \(1, 2, 2\), but got \(1, 2\)",
        ),
        ({"similarity": (torch.zeros(1, 2, 3),)}, r"similarity of shape \(2, rows, columns\)"),
    ],
)
def test_fields_whose_shapes_do_not_agree_are_refused(change, reason):
    with pytest.raises(InputError, match=reason):
        replace(explained((2, 3)), **change)


def test_printing_is_short_and_lists_images_and_texts():
    explanation = explained((2, 3), (4, 1))
    shown = repr(explanation)
    assert len(shown) < 600
    for text in explanation.texts:
        assert text in shown
    assert "2 x 3, 4 x 1 patches" in shown
    assert explanation.method in shown
    assert "tensor" not in shown


def test_a_text_is_an_index_and_an_index_error_names_the_images():
    explanation = explained((2, 3), (4, 1))
    text = explanation.texts[1]
    assert explanation[text].texts == (text,)
    assert len(explanation[text]) == 2
    with pytest.raises(IndexError, match=explanation.images[0]):
        explanation[2]
    with pytest.raises(UnknownNameError, match="Unknown text 'no such text'"):
        explanation["no such text"]


def test_a_notebook_shows_the_maps_and_escapes_the_names():
    explanation = replace(explained((2, 3)), images=("<b>a</b>.png",))
    shown = explanation._repr_html_()
    assert shown.count("data:image/png;base64,") == len(explanation.texts)
    assert "<b>a</b>" not in shown
    assert "&lt;b&gt;a&lt;/b&gt;.png" in shown
