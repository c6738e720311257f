"""Exported sites: what is refused, and how files are split."""

import pytest

from clip_surgery.errors import InputError
from clip_surgery.export.web import export_web, site
from clip_surgery.methods.similarity import Reversed


def test_a_large_file_is_split_into_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(site, "PART_BYTES", 10)
    (tmp_path / "tower.onnx").write_bytes(bytes(range(25)))
    facts = site.split_file(tmp_path / "tower.onnx")
    assert facts == {"parts": [f"tower.onnx.{number}" for number in range(3)], "bytes": 25}
    content = b"".join((tmp_path / name).read_bytes() for name in facts["parts"])
    assert content == bytes(range(25))
    assert not (tmp_path / "tower.onnx").exists()


def test_a_small_file_keeps_its_name(tmp_path):
    (tmp_path / "tower.onnx").write_bytes(b"small")
    assert site.split_file(tmp_path / "tower.onnx") == {"parts": ["tower.onnx"], "bytes": 5}


@pytest.mark.parametrize(
    ("method", "settings", "reason"),
    [
        (Reversed(), {}, "reversed are not those of its features"),
        (None, {"texts": []}, "at least one"),
        (None, {"runtime": "missing"}, "missing: expected a folder with onnxruntime-web"),
    ],
)
def test_what_cannot_be_exported_is_refused(explainer, tmp_path, method, settings, reason):
    exported = explainer if method is None else explainer.with_method(method)
    with pytest.raises(InputError, match=reason):
        export_web(exported, tmp_path / "site", **{"texts": ["dog"]} | settings)
    assert list(tmp_path.glob("site/*")) == []


def test_only_images_are_examples(explainer, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "copy_runtime", lambda *_, **__: None)
    (tmp_path / "no.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"no\.png"):
        export_web(explainer, tmp_path / "site", texts=["dog"], examples=[tmp_path / "no.png"])
