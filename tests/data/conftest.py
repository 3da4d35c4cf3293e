"""Small sets and files, all made in temporary folders."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unpoison.core.images import ArrayImageSet


@pytest.fixture
def small_set() -> ArrayImageSet:
    """Twelve random pictures of three classes, with ids as folders have them."""
    images = np.random.default_rng(0).integers(0, 256, (12, 6, 5, 3), np.uint8)
    labels = np.sort(np.arange(12) % 3)
    names = ("cat", "dog", "emu")
    ids = [f"{names[label]}/sub/{row:02d}" for row, label in enumerate(labels)]
    return ArrayImageSet(images, labels, class_names=names, ids=ids, name="small")


@pytest.fixture
def class_folder(tmp_path) -> Path:
    """Two classes of two pictures each."""
    root = tmp_path / "pictures"
    for class_name in ("cat", "dog"):
        (root / class_name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (4, 3), (number, 50, 90)).save(root / class_name / f"{number}.png")
    return root


def png_bytes(size: tuple[int, int] = (4, 3), mode: str = "RGB") -> bytes:
    """A picture with random pixels."""
    channels = len(mode)
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels, mode=None).save(file, "PNG")
    return file.getvalue()


def assert_one_line(error: Exception, *parts: object) -> None:
    """The message is one line and names what it must."""
    text = str(error)
    assert "\n" not in text
    for part in parts:
        assert str(part) in text, text
