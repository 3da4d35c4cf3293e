"""Settings of the filters, apart from their code, so that a wrong one is refused before torch is loaded."""

from __future__ import annotations

from pydantic import Field

from unpoison.core.settings import Settings


class JpegSettings(Settings):
    """Settings of JPEG compression.

    Args:
        quality: libjpeg's quality; 10 is the setting of the published defence.
    """

    quality: int = Field(10, ge=1, le=95)


class GrayscaleSettings(Settings):
    """Grayscale has no settings."""
