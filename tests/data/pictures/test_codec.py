from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from data.conftest import assert_one_line, png_bytes
from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.data.pictures.codec import decode, encode, measure
from unpoison.data.pictures.loose import from_pillow


def _save(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def _gradient(width: int = 6, height: int = 4) -> Image.Image:
    pixels = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    return Image.fromarray(pixels)


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
    data = b"IDAT" + zlib.compress(b"")
    idat = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + idat + end


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_becomes_rgb_and_is_recorded(mode):
    image = _gradient().convert(mode)
    picture = decode(_save(image), "x.png")
    assert picture.mode == mode
    assert picture.rgb.shape == (4, 6, 3)
    assert picture.rgb.dtype == np.uint8
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P"])
def test_grey_stays_grey_however_it_is_stored(mode):
    grey = _gradient().convert("L")
    image = grey.quantize(8) if mode == "P" else grey.convert(mode)
    picture = decode(_save(image), "x.png")
    assert picture.mode == mode
    assert picture.is_grey
    purified = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    assert picture.restore(purified).shape == (4, 6, 2 if mode == "LA" else 1)
    assert not decode(_save(_gradient().quantize(8)), "x.png").is_grey


def _swapped_profile() -> bytes:
    """A colour profile whose red is sRGB's blue."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", profile[128:132])[0]
    for at in range(132, 132 + 12 * count, 12):
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(
            bytes(profile[at : at + 4]), profile[at : at + 4]
        )
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "wRGB".encode("utf-16-be"))


def test_colours_of_another_space_become_srgb():
    picture = decode(_save(_gradient(), icc_profile=_swapped_profile()), "x.png")
    assert picture.mode == "RGB, colour profile"
    plain = np.asarray(_gradient()).astype(int)
    assert np.abs(picture.rgb[..., ::-1].astype(int) - plain).max() <= 3
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"nonsense", _swapped_profile()[:200]):
        picture = decode(_save(_gradient(), icc_profile=profile), "x.png")
        assert picture.mode == "RGB"
        np.testing.assert_array_equal(picture.rgb, plain)


@pytest.mark.parametrize("exif", [b"", b"\x00\x08\x00\x02", b"This is no EXIF", b"II*\x00\xff\xff\x00\x00"])
def test_broken_exif_turns_nothing(exif):
    for format, lead in (("JPEG", b"Exif\x00\x00"), ("PNG", b"Exif\x00\x00")):
        data = _save(_gradient(), format, exif=lead + exif)
        assert measure(data, "x") == decode(data, "x").rgb.shape[:2] == (4, 6)
        with Image.open(io.BytesIO(data)) as image:
            assert from_pillow(image).rgb.shape == (4, 6, 3)


def test_cmyk_jpeg():
    picture = decode(_save(_gradient().convert("CMYK"), "JPEG"), "x.jpg")
    assert picture.mode == "CMYK"
    assert picture.rgb.shape == (4, 6, 3)


def test_transparent_palette_keeps_alpha():
    image = _gradient().quantize(4)
    picture = decode(_save(image, transparency=0), "x.png")
    assert picture.mode == "P"
    assert set(np.unique(picture.alpha)) == {0, 255}


def test_transparent_pixels_keep_their_colour():
    image = Image.new("RGBA", (2, 2), (10, 20, 30, 0))
    assert decode(_save(image), "x.png").rgb[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_and_header_size(format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = _save(_gradient(16, 8), format, exif=exif)
    picture = decode(data, "x")
    assert picture.rgb.shape[:2] == ((16, 8) if orientation >= 5 else (8, 16))
    assert measure(data, "x") == picture.rgb.shape[:2]


def test_orientation_turns_the_right_way():
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    image = _gradient()
    turned = decode(_save(image, exif=exif), "x").rgb
    np.testing.assert_array_equal(turned, np.rot90(np.asarray(image), -1))


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_of_animation(format):
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    data = _save(frames[0], format, save_all=True, append_images=frames[1:], lossless=True)
    picture = decode(data, "x")
    assert picture.rgb[0, 0].tolist() == [255, 0, 0]
    assert picture.mode.endswith(", first frame")
    assert not picture.is_grey
    assert "frame" not in decode(_save(frames[0], format), "x").mode


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_8_bits_is_refused(mode):
    data = _save(Image.new(mode, (3, 3)), "TIFF")
    for function in (decode, measure):
        with pytest.raises(DataError) as caught:
            function(data, "deep.tif", record=3)
        assert_one_line(caught.value, "deep.tif, record 3", "more than 8 bits", "Convert it to 8 bits")


def test_16_bit_colour_png_is_refused():
    rows = zlib.compress((b"\0" + bytes(6 * 2)) * 2)
    data = png_bytes((2, 2))
    header = b"IHDR" + struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    body = b"IDAT" + rows
    parts = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in (header, body)]
    with pytest.raises(DataError, match="more than 8 bits"):
        decode(data[:8] + b"".join(parts) + data[-12:], "deep.png")


@pytest.mark.parametrize("size", [(10_001, 10_000), (60_000, 60_000)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_from_its_header(size):
    for function in (decode, measure):
        with pytest.raises(UnsafeFileError) as caught:
            function(_png_header(*size), "bomb.png")
        assert_one_line(caught.value, "bomb.png", "50 megapixels", "Remove it")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "BMP", "WEBP"])
def test_truncated_is_refused(format):
    data = _save(Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)), format)
    with pytest.raises(DataError) as caught:
        decode(data[: len(data) // 2], "cut")
    assert_one_line(caught.value, "cut", "broken", "Remove or replace it")


def test_not_a_picture_and_no_postscript():
    for data in (b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"):
        with pytest.raises(DataError, match="not a picture"):
            decode(data, "x.png")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_encode_round_trip(channels):
    array = np.random.default_rng(0).integers(0, 256, (5, 7, channels), np.uint8)
    picture = decode(encode(array), "x.png")
    np.testing.assert_array_equal(picture.restore(picture.rgb), array)
    assert encode(array) == encode(array.copy())


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_random_bytes_only_raise_data_errors(data):
    for prefix in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"II*\0"):
        with pytest.raises(DataError):
            decode(prefix + data, "x")
        try:
            measure(prefix + data, "x")
        except DataError:
            continue


@given(st.data())
@settings(max_examples=50, deadline=None)
def test_changed_bytes_only_raise_data_errors(data):
    raw = bytearray(png_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(raw), "x")
    except DataError as error:
        assert_one_line(error, "x")
