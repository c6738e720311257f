import open_clip
import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.text.templates import TEMPLATE_SETS, fill, resolve_templates


def test_imagenet_templates_are_those_openai_published():
    published = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert list(TEMPLATE_SETS["imagenet"]) == published


def test_sets_have_the_expected_sizes():
    sizes = {name: len(templates) for name, templates in TEMPLATE_SETS.items()}
    assert sizes == {"clip_surgery": 85, "imagenet": 80, "small": 7, "photo": 1, "name": 1}


def test_clip_surgery_adds_five_scenes_to_imagenet():
    added = TEMPLATE_SETS["clip_surgery"][80:]
    assert TEMPLATE_SETS["clip_surgery"][:80] == TEMPLATE_SETS["imagenet"]
    assert all(template.endswith("{} in the scene.") for template in added)


def test_the_small_set_is_a_subset_of_imagenet():
    assert set(TEMPLATE_SETS["small"]) < set(TEMPLATE_SETS["imagenet"])


@pytest.mark.parametrize("name", sorted(TEMPLATE_SETS))
def test_every_set_passes_its_own_check(name):
    assert resolve_templates(TEMPLATE_SETS[name]) == resolve_templates(name)


@pytest.mark.parametrize(
    ("templates", "resolved"),
    [
        ("a {} here", ("a {} here",)),
        (["{}", "the {}s"], ("{}", "the {}s")),
        ("a {colour} {}", ("a {colour} {}",)),
    ],
)
def test_templates_from_the_user(templates, resolved):
    assert resolve_templates(templates) == resolved


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([], "at least one template"),
        (["a photo of a {}.", "{}", "a photo of a {}."], "'a photo of a {}.' is given twice"),
        (["a photo"], "'a photo'"),
        ("from {} to {}", "'from {} to {}'"),
        (["from {} to {}"], "'from {} to {}'"),
        ([""], "''"),
        ([None], "NoneType: None"),
        (["{}", 7], "int: 7"),
    ],
)
def test_an_invalid_template_is_an_error_that_names_it(templates, message):
    with pytest.raises(InputError) as error:
        resolve_templates(templates)
    assert message in str(error.value)


def test_unknown_set_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="Did you mean 'imagenet'") as error:
        resolve_templates("imagnet")
    assert all(name in str(error.value) for name in TEMPLATE_SETS)


def test_fill_leaves_braces_of_the_text_alone():
    assert fill("a photo of a {}.", "{} or {0}") == "a photo of a {} or {0}."
