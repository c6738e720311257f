"""Damaged files and texts from a seed: what a careless or hostile world might send."""

import io

from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM")


def small_images():
    """The bytes of one valid small image of each format."""
    noise = Image.effect_noise((24, 18), 60)
    colour = Image.merge("RGB", (noise, noise.rotate(90).resize(noise.size), noise))
    contents = []
    for format_name in FORMATS:
        file = io.BytesIO()
        colour.save(file, format_name)
        contents.append(file.getvalue())
    return contents


def damaged(content, chance):
    """The content with one to four random faults."""
    content = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        if not content:
            break
        place = chance.randrange(len(content))
        kind = chance.randrange(6)
        if kind == 0:  # one bit
            content[place] ^= 1 << chance.randrange(8)
        elif kind == 1:  # cut off
            del content[place:]
        elif kind == 2:  # a gap
            del content[place : place + chance.randint(1, 64)]
        elif kind == 3:  # a number at its limit, as in a header
            value = chance.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80"])
            content[place : place + len(value)] = value
        elif kind == 4:  # noise
            content[place : place + 16] = chance.randbytes(chance.randint(1, 32))
        else:  # a piece twice
            content[place:place] = content[place : place + chance.randint(1, 200)]
    return bytes(content)


def strange_text(chance):
    """A text of random characters from alphabets that cause trouble."""
    alphabets = (
        "abc DEF.,-",
        "\0\x01\x1b\x7f\x9b\n\r\t",
        "\u202e\u2066\u200b\ufeff\u2028",
        "犬猫ßÄéøñ",
        "👨‍👩‍👧🏽🇩🇪",
        "\udc80\udcff\ud800\udfff",
        "{}[]()<>&'\"\\/%#~",
    )
    length = chance.choice([0, 1, 2, 5, 20, 100, 1_999, 2_001, 50_000])
    if length > 100:
        return chance.choice("abcé犬 ") * length
    return "".join(chance.choice(chance.choice(alphabets)) for _ in range(length))
