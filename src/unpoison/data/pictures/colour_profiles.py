"""Pictures whose colours are meant in another space than sRGB, as phones and Photoshop store them."""

from __future__ import annotations

import io

from PIL import Image, ImageCms

_LARGEST = 4 * 2**20  # no profile of a picture is larger
_SPACES = {b"RGB ": ("RGB", "RGBA"), b"CMYK": ("CMYK",), b"GRAY": ("L",)}


def to_srgb(image: Image.Image) -> Image.Image | None:
    """A picture in sRGB by its colour profile, as viewers show it.

    Args:
        image: loaded.

    Returns:
        The picture with red, green and blue (and alpha if it had one); None where there is nothing to convert: no
        profile, one that is sRGB itself, or one that is broken or of another kind of picture.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) > _LARGEST or b"sRGB" in profile or _in_utf16(profile):
        return None
    if image.mode not in _SPACES.get(profile[16:20], ()):
        return None
    target = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=target)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _in_utf16(profile: bytes) -> bool:
    return "sRGB".encode("utf-16-be") in profile  # how later versions of the format name themselves
