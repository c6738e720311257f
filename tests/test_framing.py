import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.framing import Framing, FramingRule, Size

sides = st.integers(1, 300)
modes = st.sampled_from(["keep ratio", "squash", "letterbox"])


@st.composite
def framings(draw):
    rule = FramingRule(mode=draw(modes), size=draw(st.integers(1, 160)))
    original = Size(draw(sides), draw(sides))
    return rule.framing(original, native_size=64, patch_size=draw(st.sampled_from([8, 14, 16])))


fractions = st.floats(0, 1, allow_nan=False, width=32)


@given(framing=framings(), x=fractions, y=fractions)
def test_points_to_the_frame_and_back(framing, x, y):
    height, width = framing.original
    points = torch.tensor([[x * (width - 1), y * (height - 1)]], dtype=torch.float64)
    framed = framing.frame_points(points)
    assert (framed >= 0).all()
    assert (framed <= torch.tensor([framing.frame.width, framing.frame.height])).all()
    torch.testing.assert_close(framing.restore_points(framed), points, atol=1e-6, rtol=0)


@given(framing=framings(), x=st.floats(-500, 900), y=st.floats(-500, 900))
def test_restored_points_lie_in_the_image(framing, x, y):
    restored_x, restored_y = framing.restore_points(torch.tensor([x, y])).tolist()
    assert 0 <= restored_x <= framing.original.width - 1
    assert 0 <= restored_y <= framing.original.height - 1


@given(framing=framings(), value=st.floats(-10, 10, width=32))
@settings(max_examples=50)
def test_a_constant_map_stays_constant(framing, value):
    restored = framing.restore_map(torch.full((2, 3, 5), value))
    assert restored.shape == (2, *framing.original)
    torch.testing.assert_close(restored, torch.full_like(restored, value))


@given(framing=framings())
@settings(max_examples=50)
def test_restored_maps_stay_in_range(framing):
    maps = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(0))
    restored = framing.restore_map(maps)
    assert restored.amin() >= maps.amin() - 1e-6
    assert restored.amax() <= maps.amax() + 1e-6


@given(
    mode=modes,
    height=st.integers(40, 300),
    width=st.integers(40, 300),
    x=st.floats(0.2, 0.8),
    y=st.floats(0.2, 0.8),
)
@settings(max_examples=60, deadline=None)
def test_a_square_has_its_centre_after_framing_and_restoring(mode, height, width, x, y):
    """A white square keeps its centre when it is framed, averaged over patches and restored."""
    assume(max(height, width) < 3 * min(height, width))
    framing = FramingRule(mode=mode, size=128).framing(
        Size(height, width), native_size=64, patch_size=4
    )
    half = min(height, width) // 10
    centre_x, centre_y = round(x * width), round(y * height)
    image = Image.new("RGB", (width, height))
    image.paste(
        (255, 255, 255), (centre_x - half, centre_y - half, centre_x + half, centre_y + half)
    )
    framed = framing.apply(image).convert("L")
    assert (framed.height, framed.width) == framing.frame
    pixels = torch.tensor(list(framed.tobytes()), dtype=torch.float32).view(1, *framing.frame)
    patches = torch.nn.functional.avg_pool2d(pixels, 4)
    heat = framing.restore_map(patches)[0]
    heat /= heat.sum()
    seen_x = (heat.sum(0) * (torch.arange(width) + 0.5)).sum()
    seen_y = (heat.sum(1) * (torch.arange(height) + 0.5)).sum()
    # Within a third of a patch, in pixels of the image.
    patch = 4 * torch.tensor(
        [width / framing.content.width, height / framing.content.height], dtype=torch.float32
    )
    offset = torch.stack([seen_x - centre_x, seen_y - centre_y]).abs()
    assert (offset <= patch / 3 + 0.5).all(), (offset, patch)


@given(height=sides, width=sides, short=st.integers(1, 200), patch=st.integers(1, 32))
def test_keep_ratio_gives_whole_patches_near_the_ratio(height, width, short, patch):
    framing = Framing.keep_ratio(
        Size(height, width), short_side=short, multiple_of=patch, max_patches=10**8
    )
    assert framing.content == framing.frame
    assert framing.frame.height % patch == framing.frame.width % patch == 0
    exact = [side * short / min(height, width) for side in (height, width)]
    for side, wanted in zip(framing.frame, exact, strict=True):
        assert side == patch or abs(side - wanted) <= patch / 2 + 1e-6


@pytest.mark.parametrize("size", [Size(1, 10_000), Size(10_000, 1), Size(3, 100_000), Size(1, 1)])
@pytest.mark.parametrize("mode", ["keep ratio", "squash", "letterbox"])
def test_very_long_images_have_a_limited_number_of_patches(size, mode):
    framing = FramingRule(mode=mode).framing(size, native_size=224, patch_size=16)
    assert (framing.frame.height // 16) * (framing.frame.width // 16) <= 16_384
    assert framing.restore_map(torch.rand(2, 3)).shape == size
    assert framing.apply(Image.new("RGB", (size.width, size.height))).size == (
        framing.frame.width,
        framing.frame.height,
    )


@given(
    height=st.integers(1, 10**6),
    width=st.integers(1, 10**6),
    limit=st.integers(1, 5000),
    patch=st.sampled_from([14, 16, 32]),
)
def test_patch_limit_holds_for_any_shape(height, width, limit, patch):
    framing = Framing.keep_ratio(
        Size(height, width), short_side=224, multiple_of=patch, max_patches=limit
    )
    assert (framing.frame.height // patch) * (framing.frame.width // patch) <= limit


def test_squash_and_letterbox_sizes():
    squash = Framing.squash(Size(100, 200), frame=Size(64, 64))
    assert (squash.content, squash.offset) == ((64, 64), (0, 0))
    box = Framing.letterbox(Size(100, 200), frame=Size(64, 64))
    assert (box.content, box.offset) == ((32, 64), (16, 0))


def test_letterbox_margin_has_the_given_colour():
    framing = Framing.letterbox(Size(10, 20), frame=Size(32, 32))
    framed = framing.apply(Image.new("RGB", (20, 10), "white"), margin=(1, 2, 3))
    assert framed.getpixel((16, 2)) == (1, 2, 3)
    assert framed.getpixel((16, 16)) == (255, 255, 255)


def test_rule_rounds_to_whole_patches_and_defaults_to_the_models_size():
    assert FramingRule(mode="squash").framing(Size(9, 9), native_size=224, patch_size=16).frame == (
        224,
        224,
    )
    assert FramingRule(mode="squash", size=100).framing(
        Size(9, 9), native_size=224, patch_size=14
    ).frame == (98, 98)
    assert FramingRule(size=224).framing(Size(480, 640), native_size=64, patch_size=16).frame == (
        224,
        304,
    )


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: Framing.squash(Size(0, 5), frame=Size(8, 8)), "original sides of at least 1 px"),
        (lambda: Framing.squash(Size(5, 5), frame=Size(8, 0)), "sides of at least 1 px"),
        (
            lambda: Framing(original=Size(5, 5), content=Size(9, 8), frame=Size(8, 8)),
            "content within the frame",
        ),
        (lambda: FramingRule(size=0), "size to be at least 1 px, but got 0"),
        (
            lambda: Framing.squash(Size(5, 5), frame=Size(8, 8)).apply(Image.new("RGB", (5, 6))),
            r"Expected an image of \(5, 5\) \(height, width\), but got \(6, 5\)",
        ),
    ],
)
def test_invalid_settings_are_refused(build, reason):
    with pytest.raises(InputError, match=reason):
        build()


def test_unknown_mode():
    with pytest.raises(UnknownNameError, match="Unknown framing 'crop'"):
        FramingRule(mode="crop")
