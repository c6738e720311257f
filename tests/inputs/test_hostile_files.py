"""Files that are too large, of the wrong kind or declare sizes that do not fit into memory."""

import io
import os
import struct
import zlib
from contextlib import suppress

import pytest
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.framing import FramingRule, Size
from clip_surgery.inputs.decoder_messages import without_decoder_messages
from clip_surgery.inputs.image_files import MAX_BYTES
from clip_surgery.inputs.image_folders import list_images
from clip_surgery.inputs.images import read_image


def png_of_declared_size(width, height):
    """A PNG of about 80 bytes whose header declares an image of any size."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"), [(1, 178_956_970), (178_956_970, 1), (13_377, 13_377), (1, 65_536)]
)
def test_a_declared_size_over_the_limit_is_refused_before_decoding(width, height, monkeypatch):
    decoded = []
    monkeypatch.setattr(Image.Image, "load", lambda self: decoded.append(self.size))
    with pytest.raises(InputError, match="over the limit"):
        read_image(png_of_declared_size(width, height), name="bomb.png")
    assert decoded == []


def test_the_limit_of_pixels_can_be_raised(tmp_path):
    Image.new("L", (300, 200)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"300 x 200 px is over the limit of 1,000 pixels"):
        read_image(tmp_path / "a.png", max_pixels=1_000)
    assert read_image(tmp_path / "a.png", max_pixels=60_000).size == Size(200, 300)


def test_a_sparse_file_of_100_gb_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.truncate(100 * 2**30)
    with pytest.raises(InputError, match=r"sparse.png: larger than the limit of 256 MiB"):
        read_image(path)
    assert MAX_BYTES == 256 * 2**20


def test_the_limit_of_bytes_can_be_set(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "a.bmp")
    with pytest.raises(InputError, match=r"a.bmp: larger than the limit"):
        read_image(tmp_path / "a.bmp", max_bytes=100)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(InputError, match="expected a regular file, not a pipe or a device"):
            read_image(path)


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5_000 + ".png", "x/" * 2_500 + "a.png"])
def test_impossible_paths_are_input_errors(path):
    with pytest.raises(InputError):
        read_image(path)


@pytest.mark.parametrize(
    ("width", "height"), [(2_000, 3), (3, 2_000), (1_200, 30), (1, 5_000), (65_535, 1)]
)
def test_extreme_shapes_cost_no_more_than_a_square(width, height):
    framing = FramingRule().framing(Size(height, width), native_size=224, patch_size=16)
    assert framing.frame == Size(224, 224)
    assert framing.content.height <= 224
    assert framing.content.width <= 224


def test_the_number_of_patches_is_bounded_and_the_bound_can_be_raised():
    original, sizes = Size(4_000, 6_000), {"native_size": 224, "patch_size": 16}
    framing = FramingRule(size=2_048).framing(original, **sizes)
    assert framing.frame.height * framing.frame.width <= 4_096 * 16**2
    larger = FramingRule(size=2_048, max_patches=100_000).framing(original, **sizes)
    assert larger.frame == Size(2_048, 3_072)


def test_the_limit_of_the_aspect_ratio_can_be_raised():
    rule = FramingRule(max_aspect_ratio=50)
    framing = rule.framing(Size(30, 1_200), native_size=224, patch_size=16)
    assert framing.frame.width > 224
    with pytest.raises(InputError, match="max_aspect_ratio of at least 1"):
        FramingRule(max_aspect_ratio=float("nan"))


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX")
def test_a_name_that_is_not_utf8_is_read_and_escaped(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    with open(path, "wb") as file:
        Image.new("RGB", (8, 8)).save(file, "PNG")
    image = read_image(os.fsdecode(path))
    assert image.name.endswith(r"caf\xe9.png")
    image.name.encode("utf-8")


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5_000 + ".png", "x/" * 2_500 + "a.png"])
def test_impossible_paths_in_a_list_are_input_errors(path):
    with pytest.raises(InputError, match="no such file"):
        list_images([path])


def test_messages_of_libtiff_do_not_reach_the_terminal(capfd):
    with without_decoder_messages("TIFF"):
        os.write(2, b"TIFFReadDirectory: Warning, Unknown field\n")
    with without_decoder_messages("PNG"):
        os.write(2, b"kept\n")
    assert capfd.readouterr().err == "kept\n"
    content = io.BytesIO()
    Image.new("RGB", (64, 64)).save(content, "TIFF", compression="tiff_lzw")
    damaged = bytearray(content.getvalue())
    damaged[8:60] = bytes(range(52))
    with suppress(InputError):
        read_image(bytes(damaged))
    assert capfd.readouterr().err == ""


def test_standard_error_is_restored_after_an_error(capfd):
    with suppress(ZeroDivisionError), without_decoder_messages("TIFF"):
        os.write(2, str(1 // 0).encode())
    os.write(2, b"restored\n")
    assert capfd.readouterr().err == "restored\n"


def test_too_little_memory_is_an_input_error(monkeypatch, tmp_path):
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")

    def exhausted(*_, **__):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", exhausted)
    monkeypatch.setattr(Image.Image, "copy", exhausted)
    with pytest.raises(InputError, match=r"a.png: there is not enough memory"):
        read_image(tmp_path / "a.png")
