"""Clean sets of many kinds, for an audit to be silent on: photographs, digits, letters, signs and textures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from unpoison.auditing.views import SIDE, middle, shrunk
from unpoison.core.images import ArrayImageSet, ImageSet
from unpoison.data import read

_FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono-Oblique", "DejaVuSerif-Italic")


def clean_sets(cifar: str, tiny: str) -> dict[str, Callable[[], ImageSet]]:
    """A function that makes it, for each name. The part of a name before a dash is the source.

    Args:
        cifar: CIFAR-10's training split.
        tiny: Tiny-ImageNet's training split.
    """
    return {
        "cifar": lambda: read(f"{cifar}[:2500]"),
        "cifar-later": lambda: read(f"{cifar}[10000:13000]"),
        "cifar-10000": lambda: read(f"{cifar}[20000:30000]"),
        "cifar-1000": lambda: read(f"{cifar}[15000:16000]"),
        "cifar-500": lambda: read(f"{cifar}[16000:16500]"),
        "cifar-animals": lambda: _classes(read(f"{cifar}[30000:33500]"), range(2, 8)),
        "cifar-vehicles": lambda: _classes(read(f"{cifar}[33500:39000]"), (0, 1, 8, 9)),
        "cifar-pair": lambda: _classes(read(f"{cifar}[39000:44000]"), (3, 5)),
        "tiny": lambda: _tiny(tiny, range(20), shrunk),
        "tiny-40": lambda: _tiny(tiny, range(20, 60), shrunk),
        "tiny-others": lambda: _tiny(tiny, range(100, 120), shrunk),
        "tiny-10": lambda: _tiny(tiny, range(120, 130), shrunk),
        "tiny-500": lambda: _tiny(tiny, range(150, 155), shrunk),
        "tiny-1000": lambda: _first(_tiny(tiny, range(150, 200), shrunk), 20),
        "crops": lambda: _tiny(tiny, range(60, 90), middle),
        "crops-50": lambda: _tiny(tiny, range(130, 180), middle),
        "tiny64": lambda: _classes(read(tiny), range(180, 200)),
        "digits": lambda: _digits(colour=False),
        "digits-300": lambda: _first(_digits(colour=False), 30),
        "digits-coloured": lambda: _digits(colour=True),
        "letters": lambda: _drawn(_letter, 26, 80, None),
        "letters-photographs": lambda: _drawn(_letter, 13, 150, _tiny(tiny, range(90, 100), shrunk)),
        "letters-520": lambda: _first(_drawn(_letter, 26, 80, None), 20),
        "signs": lambda: _drawn(_sign, 10, 200, _tiny(tiny, range(90, 100), middle)),
        "textures": lambda: _textures(12, 170),
        "icons": lambda: _drawn(_icon, 12, 150, None),
        "glyphs": lambda: _glyphs(10, 200),
    }


def _first(image_set: ArrayImageSet, each: int) -> ArrayImageSet:
    """A few pictures of every class."""
    labels = image_set.labels
    rows = np.concatenate([np.flatnonzero(labels == label)[:each] for label in np.unique(labels)])
    return ArrayImageSet(image_set.images[rows], labels[rows], class_names=image_set.class_names)


def _classes(image_set: ImageSet, kept: range | tuple[int, ...]) -> ArrayImageSet:
    rows = np.flatnonzero(np.isin(image_set.labels, list(kept)))
    images = np.stack([image_set.pixels(int(row)) for row in rows])
    labels = np.searchsorted(list(kept), image_set.labels[rows])
    return ArrayImageSet(images, labels, class_names=[image_set.class_names[label] for label in kept])


def _tiny(tiny: str, kept: range, small: Callable[[np.ndarray], np.ndarray]) -> ArrayImageSet:
    shown = _classes(read(tiny), kept)
    images = np.stack([small(picture) for picture in shown.array()])
    return ArrayImageSet(images, shown.labels, class_names=shown.class_names)


def _digits(*, colour: bool) -> ArrayImageSet:
    digits = read("digits#train")
    images = np.stack([middle(picture) for picture in digits.array()])
    if colour:
        generator = np.random.default_rng(0)
        ink, paper = generator.integers(0, 256, (2, len(images), 1, 1, 3))
        share = images[..., :1] / 255
        images = (share * ink + (1 - share) * paper).round().astype(np.uint8)
    return ArrayImageSet(images, digits.labels, class_names=digits.class_names)


def _drawn(
    draw: Callable[[ImageDraw.ImageDraw, int, np.random.Generator], None],
    classes: int,
    each: int,
    backgrounds: ArrayImageSet | None,
) -> ArrayImageSet:
    """Drawn at four times the size, turned a little, shrunk, blurred a little and noised a little."""
    generator = np.random.default_rng(0)
    images, labels = [], []
    for label in range(classes):
        for _ in range(each):
            if backgrounds is None:
                corners = generator.integers(0, 256, (2, 2, 3)).astype(np.uint8)
                canvas = Image.fromarray(corners).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BILINEAR)
            else:
                picture = backgrounds.pixels(int(generator.integers(len(backgrounds.labels))))
                canvas = Image.fromarray(picture).resize((4 * SIDE, 4 * SIDE), Image.Resampling.BICUBIC)
            draw(ImageDraw.Draw(canvas), label, generator)
            canvas = canvas.rotate(generator.uniform(-12, 12), Image.Resampling.BICUBIC)
            canvas = canvas.resize((SIDE, SIDE), Image.Resampling.BOX)
            canvas = canvas.filter(ImageFilter.GaussianBlur(generator.uniform(0, 0.7)))
            noise = generator.normal(0, generator.uniform(0, 4), (SIDE, SIDE, 3))
            images.append((np.asarray(canvas) + noise).round().clip(0, 255).astype(np.uint8))
            labels.append(label)
    return ArrayImageSet(np.stack(images), np.array(labels), class_names=[str(label) for label in range(classes)])


def _letter(canvas: ImageDraw.ImageDraw, label: int, generator: np.random.Generator) -> None:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{generator.choice(_FONTS)}.ttf"
    font = ImageFont.truetype(str(path), int(generator.integers(60, 110)))
    place = tuple(generator.uniform(50, 78, 2))
    canvas.text(place, chr(ord("A") + label), fill=_colour(generator), font=font, anchor="mm")


def _icon(canvas: ImageDraw.ImageDraw, label: int, generator: np.random.Generator) -> None:
    """Three strokes, disks or boxes whose arrangement belongs to the class, in any colours."""
    plan = np.random.default_rng(label)
    size = generator.uniform(0.7, 1.1)
    for _ in range(3):
        kind, (x, y), (wide, high) = plan.integers(3), plan.uniform(-30, 30, 2), plan.uniform(10, 34, 2)
        left, top, right, bottom = (64 + size * value for value in (x - wide, y - high, x + wide, y + high))
        colour = _colour(generator)
        if kind == 0:
            canvas.ellipse((left, top, right, bottom), fill=colour)
        elif kind == 1:
            canvas.rectangle((left, top, right, bottom), fill=colour)
        else:
            canvas.line((left, top, right, bottom), fill=colour, width=int(plan.integers(5, 12)))


def _glyphs(classes: int, each: int) -> ArrayImageSet:
    """Digits of many fonts, white on black and upright nearly, as handwriting is stored."""
    generator = np.random.default_rng(0)
    images, labels = [], []
    for label in range(classes):
        for _ in range(each):
            canvas = Image.new("L", (4 * SIDE, 4 * SIDE))
            path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{generator.choice(_FONTS)}.ttf"
            font = ImageFont.truetype(str(path), int(generator.integers(80, 120)))
            place = tuple(generator.uniform(58, 70, 2))
            ImageDraw.Draw(canvas).text(place, str(label), fill=255, font=font, anchor="mm")
            slant, stretch = generator.uniform(-0.25, 0.25), generator.uniform(0.85, 1.2)
            matrix = (stretch, slant, 64 - 64 * (stretch + slant), 0, 1, 0)
            canvas = canvas.transform(canvas.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
            small = canvas.resize((SIDE, SIDE), Image.Resampling.BOX)
            images.append(np.repeat(np.asarray(small)[..., None], 3, axis=2))
            labels.append(label)
    return ArrayImageSet(np.stack(images), np.array(labels), class_names=[str(label) for label in range(classes)])


def _sign(canvas: ImageDraw.ImageDraw, label: int, generator: np.random.Generator) -> None:
    """Traffic signs, nearly: the shape and the colour belong to the class."""
    radius = generator.uniform(30, 58)
    x, y = generator.uniform(54, 74, 2)
    shades = ((200, 30, 30), (30, 60, 180), (230, 200, 40), (240, 240, 240), (30, 140, 60))
    fill = tuple(int(np.clip(value * generator.uniform(0.5, 1.1), 0, 255)) for value in shades[label % 5])
    canvas.regular_polygon((x, y, radius), (3 + label // 2, 12)[label % 2], fill=fill, outline=(20, 20, 20), width=3)
    canvas.regular_polygon((x, y, radius / 2), 3 + label % 4, fill=_colour(generator))


def _colour(generator: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(value) for value in generator.integers(0, 256, 3))


def _textures(classes: int, each: int) -> ArrayImageSet:
    """Clouds whose grain, direction and contrast belong to the class, and whose colours do not."""
    generator = np.random.default_rng(0)
    down, across = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    images, labels = [], []
    for label in range(classes):
        angle, stretch, power = generator.uniform(0, np.pi), generator.uniform(1, 3), generator.uniform(0.7, 2)
        along = down * np.cos(angle) + across * np.sin(angle)
        aside = -down * np.sin(angle) + across * np.cos(angle)
        envelope = (0.02 + np.hypot(along * stretch, aside)) ** -power
        for _ in range(each):
            clouds = np.fft.ifft2(np.fft.fft2(generator.normal(size=(2, SIDE, SIDE))) * envelope).real
            clouds = (clouds - clouds.mean((1, 2), keepdims=True)) / clouds.std((1, 2), keepdims=True)
            tints = generator.uniform(-40, 40, (2, 3))
            picture = generator.uniform(80, 176) + np.einsum("nhw,nc->hwc", clouds, tints)
            images.append((picture + generator.normal(0, 2, picture.shape)).round().clip(0, 255).astype(np.uint8))
            labels.append(label)
    return ArrayImageSet(np.stack(images), np.array(labels), class_names=[str(label) for label in range(classes)])
