"""The page docs/datasets.md agrees with the code of every data set."""

import re
from pathlib import Path

import pytest

from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.registry import DATASETS
from clip_surgery.evaluation.datasets.scenes import TRAINING_NOUNS
from clip_surgery.evaluation.protocols.registry import default_protocol

TEXT = (Path(__file__).parents[3] / "docs/datasets.md").read_text(encoding="utf-8")
LISTS = {"coco": "coco80", "coco_tags": "coco80", "voc07": "voc20", "coco_stuff": "coco_stuff171"}
LISTS |= {"nus_wide": "nus_wide81", "cityscapes": "cityscapes19", "ade20k": "ade150"}


def quoted(text):
    return tuple(re.findall("`([^`]*)`", text))


def rows(title):
    """The rows of the table that begins so, each a list of cells."""
    table = TEXT.partition(f"| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


IMAGES = {quoted(cells[0])[0]: cells[1:] for cells in rows("name")}


def test_the_table_names_every_data_set_once():
    assert len(rows("name")) == len(DATASETS)
    assert set(IMAGES) == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_row_says_what_the_code_does(name):
    classes, _, _, _, protocol = IMAGES[name]
    assert quoted(protocol) == (default_protocol(name).name,)
    if name == "scenes":
        assert classes == str(len(TRAINING_NOUNS))
    elif name != "folder":
        assert classes == str(len(read_class_names(LISTS.get(name, name))))


@pytest.mark.parametrize("name", DATASETS)
def test_its_settings_are_on_the_page(name):
    told = [quoted(setting) for setting, of, _ in rows("setting") if name in quoted(of)]
    assert {setting for own in told for setting in own} == set(DATASETS[name].setting_names())


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_its_folder_or_how_it_is_made(name):
    assert any(
        f"`{name}`" in line or f"evaluate {name}" in line or f'"{name}"' in line
        for line in TEXT.partition("## Your own")[2].splitlines()
    )
