import numpy as np
from PIL import Image

from clip_surgery.loading import load
from clip_surgery.records.arrays import save_arrays
from clip_surgery.tasks.presence import presence
from tests.explanations import explained, random_scores


def test_arrays_hold_the_scores_and_need_no_pickle(tmp_path):
    explanation = load("demo")(Image.radial_gradient("L").convert("RGB"), ["dog", "größe 猫"])
    save_arrays(explanation, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["texts"].tolist() == ["dog", "größe 猫"]
        np.testing.assert_array_equal(arrays["patch_scores"], explanation.patch_scores[0])
        np.testing.assert_array_equal(arrays["similarity"], explanation.similarity[0])
        np.testing.assert_array_equal(arrays["image_scores"], explanation.image_scores[0])
        np.testing.assert_allclose(arrays["presence"], presence(explanation)[0])
        assert arrays["size_hw"].tolist() == [256, 256]
        assert str(arrays["backbone"]) == "demo"


def test_arrays_that_a_method_does_not_have_are_left_out(tmp_path):
    save_arrays(explained(random_scores(2, 3, 4), texts=("a", "b")), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert "presence" not in arrays.files
        assert arrays["patch_scores"].shape == (2, 3, 4)
