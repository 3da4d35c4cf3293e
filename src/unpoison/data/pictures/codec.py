"""Decoding and encoding of pictures, in one place."""

from __future__ import annotations

import io
import re
from importlib.util import find_spec
from os import PathLike

import numpy as np
from PIL import Image, UnidentifiedImageError

from unpoison.core.errors import DataError, UnsafeFileError
from unpoison.core.limits import PICTURE_HEADER, PICTURE_PASSES, PICTURE_PIXELS, PICTURE_SIDE
from unpoison.core.picture import FRAMES, PROFILE, Picture
from unpoison.data.pictures.colour_profiles import to_srgb

SUFFIXES = frozenset(
    {
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".pjpeg", ".pjp", ".bmp", ".dib", ".webp", ".gif"),
        *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif"),
    }
)

# Named, because Pillow would otherwise try every plugin it has, and some run programs (EPS calls Ghostscript).
_FORMATS: tuple[str, ...] = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")
if find_spec("PIL._avif"):  # not in every build
    _FORMATS += ("AVIF",)
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Width, height and, but for black and white, the largest value; comments may stand between them.
_PPM = re.compile(rb"P[1-6]\s")
_PPM_HEADER = re.compile(rb"P[14](?:(?:\s|#[^\n]*\n)+\d+){2}\s|P[2356](?:(?:\s|#[^\n]*\n)+\d+){3}\s")
_SIDEWAYS = {_TURNS[orientation] for orientation in (5, 6, 7, 8)}
_CHANNEL_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def decode(data: bytes, file: str | PathLike[str], *, record: object = None) -> Picture:
    """Decode a picture to RGB; of an animated one the first frame.

    EXIF orientation is applied where it stands before the pixels. Transparency is kept aside, not blended.

    Args:
        data: the file's bytes.
        file: name for errors.
        record: which record of the file, for errors.

    Raises:
        DataError: not a picture, truncated, or of 16 bits.
        UnsafeFileError: over 50 megapixels.
    """
    image, turn = _open(data, file, record)
    _check_passes(image, data, file, record)
    try:
        image.load()
        return to_picture(image if turn is None else image.transpose(turn))
    except Exception as error:  # Pillow's decoders raise nearly anything on broken bytes
        raise _broken(file, record, error) from error


def measure(data: bytes, file: str | PathLike[str], *, record: object = None) -> tuple[int, int]:
    """Height and width of a picture as `decode` will return it, from its header alone.

    Args:
        data: the file's bytes, or as many of the first as hold the header.
        file: name for errors.
        record: which record of the file, for errors.

    Raises:
        DataError: not a picture, of 16 bits, or over 50 megapixels.
    """
    image, turn = _open(data, file, record)
    width, height = image.size
    return (width, height) if turn in _SIDEWAYS else (height, width)


def to_picture(image: Image.Image) -> Picture:
    """A loaded Pillow image of at most 8 bits as RGB, with its transparency aside, its colours in sRGB."""
    converted = to_srgb(image)
    shown = image if converted is None else converted
    alpha = None
    if shown.has_transparency_data:
        rgba = np.asarray(shown.convert("RGBA"))
        rgb, alpha = np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3])
    else:
        rgb = np.array(shown if shown.mode == "RGB" else shown.convert("RGB"))
    marks = (FRAMES if _has_frames(image) else "") + ("" if converted is None else PROFILE)
    return Picture(rgb, image.mode + marks, alpha)


def _has_frames(image: Image.Image) -> bool:
    """Whether only the first of several frames was taken. Those that phones put into a JPEG (MPO) nobody means."""
    try:
        return image.format != "MPO" and getattr(image, "is_animated", False)
    except Exception:  # of what follows the first frame nothing is needed, and it may be broken
        return False


def find_turn(image: Image.Image) -> Image.Transpose | None:
    """How EXIF wants a picture turned; broken EXIF turns nothing, as in every viewer."""
    try:
        # The base class's method reads the header only; PNG's own would decode the pixels.
        return _TURNS.get(Image.Image.getexif(image).get(_ORIENTATION, 1))
    except Exception:  # Pillow's reader of EXIF raises nearly anything on broken bytes
        return None


def encode(array: np.ndarray) -> bytes:
    """Encode a PNG; equal pixels give equal bytes with the same versions of Pillow and zlib.

    Args:
        array: [H, W, C] uint8 with C of 1 (grey), 2 (grey, alpha), 3 (colour) or 4 (colour, alpha).
    """
    channels = array.shape[2]
    image = Image.fromarray(array[..., 0] if channels == 1 else array)
    if image.mode != _CHANNEL_MODES[channels]:
        raise ValueError(f"cannot store {channels} channels")
    file = io.BytesIO()
    # On photographs the higher levels take up to twice the time to save a tenth at best; on thumbnails nothing.
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def check_pixels(width: int, height: int, file: str | PathLike[str], record: object = None) -> None:
    """Refuse a size that would eat the memory, before any is taken.

    Raises:
        UnsafeFileError: over 50 megapixels.
    """
    if width * height > PICTURE_PIXELS or max(width, height) > PICTURE_SIDE:
        megapixels = PICTURE_PIXELS // 1_000_000
        problem = f"the picture claims {width}x{height} pixels, over {megapixels} megapixels or {PICTURE_SIDE} a side"
        raise UnsafeFileError(str(file), problem, "Remove it or scale it down", record=record)


def _open(data: bytes, file: str | PathLike[str], record: object) -> tuple[Image.Image, Image.Transpose | None]:
    """Read the header: the undecoded image, and how EXIF wants it turned."""
    if _PPM.match(data) and not _PPM_HEADER.match(data[:PICTURE_HEADER]):
        raise _broken(file, record, ValueError("its header is broken or endless"))
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        turn = None
        if image.format != "TIFF":  # Pillow turns TIFF itself
            turn = find_turn(image)
        depths = str([tile[3] for tile in image.tile])
    except UnidentifiedImageError:
        raise DataError(
            str(file), "this is not a picture, or its header is broken", "Remove or replace it", record=record
        ) from None
    except Image.DecompressionBombError:
        raise UnsafeFileError(
            str(file), f"the picture claims over {PICTURE_PIXELS // 1_000_000} megapixels", "Remove it", record=record
        ) from None
    except Exception as error:  # as in `decode`
        raise _broken(file, record, error) from error
    check_pixels(*image.size, file, record)
    if image.mode.startswith(("I", "F")) or ";16" in depths:
        raise DataError(
            str(file),
            f"the picture has more than 8 bits a channel (mode {image.mode})",
            "Convert it to 8 bits",
            record=record,
        )
    return image, turn


def _check_passes(image: Image.Image, data: bytes, file: str | PathLike[str], record: object) -> None:
    """Refuse a JPEG whose pixels are gone over again and again: each scan of a few bytes costs a whole pass."""
    scans = data.count(b"\xff\xda") if image.format == "JPEG" else 1
    if scans * image.width * image.height > PICTURE_PASSES:
        raise UnsafeFileError(
            str(file), f"the picture has {scans} scans, which would take minutes", "Save it again", record=record
        )


def _broken(file: str | PathLike[str], record: object, error: Exception) -> DataError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(str(file), f"the picture is broken ({reason})", "Remove or replace it", record=record)
