"""What the documents say of towers and methods is what happens."""

from pathlib import Path

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.registry import METHODS, method_named
from clip_surgery.testing.tiny_models.companions import with_tiny_companion
from clip_surgery.testing.tiny_models.segmenters import method_with_tiny_parts
from clip_surgery.text.bank import encode_texts
from tests.zoo import TOWERS, quick_or_slow

METHODS_PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
COLUMNS = {
    "ViT": [
        "open_clip",
        "hugging_face",
        "hugging_face_altclip",
        "hugging_face_chinese_clip",
        "hugging_face_metaclip2",
    ],
    "ResNet": ["open_clip_resnet"],
    "EVA": ["timm_eva"],
    "PE": ["timm_pe"],
    "CoCa": ["open_clip_coca"],
    "SigLIP": ["timm_siglip", "hugging_face_siglip", "hugging_face_siglip2"],
    "ViTamin": ["timm_vitamin"],
}


def tower_table():
    """{method: {column: "y" or "-"}} of the table that begins with the column ViT."""
    lines = METHODS_PAGE.read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| method | ViT |"))
    rows = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    header, _, *body = rows
    return {row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in body}


def test_the_table_names_every_method_and_every_tower():
    table = tower_table()
    assert list(table) == [*METHODS, "repair_outliers"]
    assert all(list(cells) == list(COLUMNS) for cells in table.values())
    assert sorted(name for names in COLUMNS.values() for name in names) == sorted(TOWERS)


@pytest.mark.parametrize(
    ("tower", "column"),
    [quick_or_slow(tower, tower, column) for column, towers in COLUMNS.items() for tower in towers],
)
def test_the_table_is_what_happens(tower, column):
    backbone = with_tiny_companion(wrap_backbone(TOWERS[tower]()))
    with torch.no_grad():
        texts = encode_texts(backbone, ("cat", "bus"), templates=("{}",), cache=None)
    side = 2 * backbone.tower.patch_size
    for name, cells in tower_table().items():
        if name == "repair_outliers":
            method = method_named("clip_surgery", repair_outliers=True)
        else:
            method = method_with_tiny_parts(name)
        try:
            method(backbone, torch.randn(1, 3, side, side), texts)
            supported = "y"
        except UnsupportedModelError:
            supported = "-"
        assert supported == cells[column], f"{name} on {tower}"
