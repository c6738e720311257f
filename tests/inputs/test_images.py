import io
from contextlib import suppress

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from clip_surgery.errors import InputError
from clip_surgery.framing import Size
from clip_surgery.inputs.image_folders import list_images
from clip_surgery.inputs.images import InputImage, read_image, to_pixels


def colourful(height=6, width=9):
    y, x = np.mgrid[:height, :width]
    return np.stack([20 * x, 30 * y, 255 - 10 * (x + y)], axis=-1).astype(np.uint8)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(source, **options):
    return np.asarray(read_image(source, **options).image)


def test_all_sources_give_the_same_image(tmp_path):
    array = colourful()
    path = tmp_path / "street.png"
    Image.fromarray(array).save(path)
    input_image = read_image(path)
    sources = [path, str(path), path.read_bytes(), bytearray(path.read_bytes())]
    sources += [Image.fromarray(array), Image.open(path), array, input_image]
    for source in sources:
        np.testing.assert_array_equal(rgb(source), array)
    assert input_image.size == Size(height=6, width=9)
    assert input_image.name == str(path)


def test_name_of_an_image():
    array = colourful()
    assert read_image(array).name == "image"
    assert read_image(array, name="frame 3").name == "frame 3"
    named = read_image(array, name="frame 3")
    assert read_image(named) is named
    assert read_image(named, name="other").name == "other"


def test_the_image_of_the_caller_is_not_changed():
    image = Image.fromarray(colourful())
    input_image = read_image(image)
    input_image.image.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == tuple(colourful()[0, 0])
    array = colourful()
    read_image(array).image.putpixel((0, 0), (1, 2, 3))
    np.testing.assert_array_equal(array, colourful())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(colourful()), exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(rgb(content), np.asarray(upright))
    assert read_image(content).size == ((9, 6) if orientation > 4 else (6, 9))
    np.testing.assert_array_equal(rgb(Image.open(io.BytesIO(content))), np.asarray(upright))


def test_orientation_of_16_bit_grey():
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = Image.fromarray(np.arange(6, dtype=np.uint16).reshape(2, 3) * 257)
    expected = [[3, 0], [4, 1], [5, 2]]
    assert rgb(encoded(grey, exif=exif))[:, :, 0].tolist() == expected


def test_an_image_with_damaged_exif_is_read():
    content = encoded(Image.fromarray(colourful()), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(rgb(content), colourful())


def test_palette_is_resolved_and_transparent_entries_are_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    assert rgb(encoded(image)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert rgb(encoded(image, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]
    assert rgb(encoded(image, transparency=bytes([255, 0])))[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "RGBa", "PA"])
def test_transparent_pixels_are_blended_with_white(mode):
    image = Image.new("LA", (3, 1), (0, 0))
    image.putpixel((1, 0), (0, 255))
    image.putpixel((2, 0), (0, 102))
    if mode in ("RGBA", "RGBa", "PA"):
        image = image.convert("RGBA")
    if mode in ("La", "RGBa"):
        image = image.convert(mode)
    if mode == "PA":
        pixels = np.array([[[0, 0], [0, 255], [0, 102]]], dtype=np.uint8)
        image = Image.new("PA", (3, 1))
        image.putpalette([0, 0, 0])
        image.putalpha(Image.fromarray(pixels[:, :, 1]))
        assert image.mode == "PA"
    assert rgb(image)[0, :, 0].tolist() == [255, 0, 153]


def test_transparent_colour_of_rgb_and_grey():
    content = encoded(Image.new("RGB", (1, 1), (9, 8, 7)), transparency=(9, 8, 7))
    assert rgb(content).tolist() == [[[255, 255, 255]]]
    assert rgb(encoded(Image.new("L", (1, 1), 9), transparency=9)).tolist() == [[[255] * 3]]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[0, 257, 32896, 65535]], dtype=np.uint16), [0, 1, 128, 255]),
        (np.array([[0, 257, 32896, 65535]], dtype=">u2"), [0, 1, 128, 255]),
        (np.array([[0, 257, 32896, 65535]], dtype=np.int32), [0, 1, 128, 255]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 127.5, 255.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 65535.0]], dtype=np.float32), [0, 255]),
    ],
)
def test_16_bit_and_float_grey_is_scaled_to_8_bits(array, expected):
    assert rgb(Image.fromarray(array))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 1e6])
def test_16_bit_and_float_grey_of_unknown_scale_is_refused(value):
    image = Image.fromarray(np.array([[0.0, value]], dtype=np.float32))
    with pytest.raises(InputError, match=r"^scan\.tif: expected grey values in 0\.\.65535"):
        read_image(image, name="scan.tif")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_files(kind):
    grey = Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16))
    assert rgb(encoded(grey, kind))[0, :, 1].tolist() == [0, 128, 255]


def test_one_bit_and_cmyk_and_ycbcr():
    assert rgb(Image.new("1", (1, 1), 1)).tolist() == [[[255, 255, 255]]]
    cmyk = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    red, green, blue = rgb(cmyk)[4, 4]
    assert red > 240
    assert max(green, blue) < 15
    assert rgb(Image.new("YCbCr", (1, 1), (255, 128, 128))).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert rgb(content)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3), (4, 5, 4)])
def test_arrays_of_all_shapes(shape):
    array = np.full(shape, 7, dtype=np.uint8)
    expected = 249 if shape[-1] == 4 else 7
    expected = round((7 * 7 + 255 * 248) / 255) if shape[-1] == 4 else expected
    assert rgb(array).tolist() == np.full((4, 5, 3), expected).tolist()


def test_array_that_is_a_view():
    array = colourful()[::-1, ::2]
    np.testing.assert_array_equal(rgb(array), array)


GOOD = encoded(Image.fromarray(colourful(64, 64)))
BAD = {
    "empty bytes": (b"", "the file is empty"),
    "not an image": (b"hello, this is text", "not an image in a format that Pillow reads"),
    "truncated png": (GOOD[: len(GOOD) // 2], "damaged or unsupported"),
    "truncated jpeg": (encoded(Image.fromarray(colourful(64, 64)), "JPEG")[:700], "damaged"),
    "header only": (GOOD[:40], "damaged|not an image"),
    "link": ("http://example.org/cat.jpg", "download it first"),
    "https link": ("HTTPS://example.org/cat.jpg", "download it first"),
    "missing": ("/no/such/cat.jpg", "no such file"),
    "folder": ("/", "a folder, not an image"),
    "null byte": ("cat\0.jpg", "cannot be read"),
    "zero width": (Image.new("RGB", (0, 5)), "expected an image with an area"),
    "zero array": (np.zeros((0, 5, 3), np.uint8), "expected an image with an area"),
    "bool array": (np.zeros((4, 4), bool), "expected an array of uint8 .* but got bool"),
    "float array": (np.zeros((4, 4, 3)), "expected an array of uint8 .* but got float64"),
    "channels first": (np.zeros((3, 40, 40), np.uint8), r"but got \(3, 40, 40\)"),
    "two channels": (np.zeros((4, 4, 2), np.uint8), r"but got \(4, 4, 2\)"),
    "one dimension": (np.zeros(4, np.uint8), r"but got \(4,\)"),
    "number": (3, "expected a path, bytes, a PIL image or a uint8 array, but got int"),
    "none": (None, "but got NoneType"),
}


@pytest.mark.parametrize(("source", "reason"), BAD.values(), ids=BAD)
def test_an_unreadable_image_is_an_error_of_one_line_that_names_it(source, reason):
    with pytest.raises(InputError, match=reason) as caught:
        read_image(source, name="cat.jpg")
    assert str(caught.value).startswith("cat.jpg: ")
    assert "\n" not in str(caught.value)


def test_the_name_of_a_file_is_its_path(tmp_path):
    path = tmp_path / "cat.jpg"
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"cat\.jpg: the file is empty"):
        read_image(path)


def test_size_limit():
    image = Image.new("L", (40, 30))
    assert read_image(image, max_pixels=1200).size == (30, 40)
    for source in (image, encoded(image)):
        with pytest.raises(InputError, match=r"40 x 30 px is over the limit of 1,199 pixels"):
            read_image(source, max_pixels=1199)


def test_decompression_bomb_is_refused_before_it_is_unpacked(monkeypatch):
    content = encoded(Image.new("1", (400, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 80_000)  # Pillow warns
    assert read_image(content).size == (300, 400)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # Pillow raises
    with pytest.raises(InputError, match=r"bomb\.png: too large to be unpacked safely"):
        read_image(content, name="bomb.png")


@pytest.mark.parametrize("seed", range(20))
def test_damaged_bytes_give_an_image_or_an_input_error(seed):
    generator = np.random.default_rng(seed)
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        content = bytearray(encoded(Image.fromarray(colourful(32, 32)), kind))
        for position in generator.integers(0, len(content), 8):
            content[position] = generator.integers(256)
        with suppress(InputError):
            read_image(bytes(content))


def test_an_input_image_must_be_rgb():
    with pytest.raises(InputError, match="x: expected an RGB image, but got L"):
        InputImage(image=Image.new("L", (1, 1)), name="x")


def test_to_pixels():
    pixels = to_pixels(read_image(colourful()))
    assert pixels.shape == (3, 6, 9)
    assert pixels.dtype == torch.float32
    expected = torch.from_numpy(colourful()).permute(2, 0, 1) / 255
    torch.testing.assert_close(pixels, expected)
    torch.testing.assert_close(to_pixels(Image.fromarray(colourful())), expected)
    with pytest.raises(InputError, match="Expected an RGB image, but got L"):
        to_pixels(Image.new("L", (1, 1)))


@pytest.fixture
def album(tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("b.png", "a.JPG", "notes.txt", ".a.png", "more/c.png"):
        (tmp_path / name).touch()
    return tmp_path


def names(paths, album):
    return [path.relative_to(album).as_posix() for path in paths]


def test_list_images_of_folders_patterns_and_files(album):
    assert names(list_images([album]), album) == ["a.JPG", "b.png", "more/c.png"]
    assert names(list_images([f"{album}/*"]), album) == ["a.JPG", "b.png"]
    assert names(list_images([f"{album}/**/*.png"]), album) == ["b.png", "more/c.png"]
    assert names(list_images([album / "notes.txt", album]), album) == [
        *("notes.txt", "a.JPG", "b.png", "more/c.png")
    ]
    assert names(list_images([album / "b.png", str(album)]), album) == [
        *("b.png", "a.JPG", "more/c.png")
    ]
    assert list_images([]) == []


def test_list_images_takes_a_file_with_pattern_signs_in_its_name(album):
    (album / "cat[1].png").touch()
    assert names(list_images([album / "cat[1].png"]), album) == ["cat[1].png"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.png", "missing.png: no such file"),
        ("http://example.org/cat.png", "download it first"),
        ("*.gif", r"\*\.gif: no image matches this pattern"),
        ("empty", "empty: no image in this folder"),
    ],
)
def test_list_images_without_a_match(album, path, reason):
    (album / "empty").mkdir()
    with pytest.raises(InputError, match=reason):
        list_images([path if "//" in path else album / path])


def test_listed_images_are_read(tmp_path):
    for number, size in enumerate([(64, 48), (48, 64), (31, 17)]):
        Image.effect_noise(size, 60).convert("RGB").save(tmp_path / f"{number}.jpg", quality=80)
    paths = list_images([tmp_path])
    assert len(paths) == 3
    for path in paths:
        image = read_image(path)
        assert image.image.mode == "RGB"
        assert to_pixels(image).shape == (3, *image.size)


def test_hidden_folders_are_skipped_and_the_message_says_what_was_seen(tmp_path):
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/a.png").touch()
    (tmp_path / "deep/er").mkdir(parents=True)
    (tmp_path / "deep/er/notes.txt").touch()
    with pytest.raises(InputError, match=r"no image in this folder, only files with \.txt"):
        list_images([tmp_path])
    (tmp_path / "deep/er/b.webp").touch()
    assert names(list_images([tmp_path]), tmp_path) == ["deep/er/b.webp"]


def test_a_pattern_without_images_names_one_that_finds_them(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("deep/a.JPG", "deep/b.JPG", "deep/c.webp", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError) as raised:
        list_images([tmp_path / "*.png"])
    assert f"no image matches this pattern; {tmp_path}/**/*.JPG finds 2." in str(raised.value)
    assert len(list_images([f"{tmp_path}/**/*.JPG"])) == 2
    with pytest.raises(InputError, match=r"only files with \.txt; .*\*\*/\*\.JPG finds 2"):
        list_images([tmp_path / "*.txt"])
    with pytest.raises(InputError, match=f"there is no image in {tmp_path}/no/such either"):
        list_images([tmp_path / "no/such/*.png"])


def test_a_folder_with_images_in_a_hidden_folder_only_names_it(tmp_path):
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails/a.png").touch()
    with pytest.raises(InputError, match=r"only a hidden folder with images.*\.thumbnails$"):
        list_images([tmp_path])


def test_an_image_without_orientation_is_copied_once():
    source = Image.new("RGB", (4, 3), (10, 20, 30))
    read = read_image(source).image
    source.putpixel((0, 0), (0, 0, 0))
    assert read.getpixel((0, 0)) == (10, 20, 30)
