"""An image set to fit on that anybody may use: patches of free photographs from packages of Debian.

    apt-get download gcompris-qt-data lomiri-wallpapers-16.04 python3-skimage python3-sklearn sddm-theme-maldives
    python benchmarks/free_photographs.py FOLDER_OF_DEBS --out free.npz
    unpoison fit denoiser free.npz --profile pocket --out pocket-free.safetensors

`free_photographs.json` beside this file lists the photographs, with author, licence and SHA-256; a file that differs is
refused. They are in the public domain, or under CC0 or CC-BY, whose credits are in NOTICE. The same packages give the
same bytes.

Every photograph gives 96 patches of 64 pixels: it is brought to 12 sizes, from 64 to 192 pixels on its shorter side,
and 8 squares are cut from each. Tiny-ImageNet, which this is to stand for, shows whole pictures, has hardly any empty
ground, and was shrunk so that fine detail aliases; hence small sizes, another place for squares that are mostly flat,
and every third pixel of a picture three times the size. `--compare SET` prints contrast and spectrum beside those of a
set of 64-pixel pictures.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np
from PIL import Image

from unpoison.core.documents import read_json
from unpoison.core.errors import DataError, UnpoisonError
from unpoison.core.images import ArrayImageSet
from unpoison.data import read, write

LIST = Path(__file__).with_suffix(".json")
PATCH = 64
SIDES = [round(side) for side in np.geomspace(64, 192, 12)]  # of the whole photograph, the shorter one
EACH = 8  # patches of a photograph at one size
FINER = 3  # a photograph is brought to so many times the size, of which one pixel in so many is kept
MOST_FLAT = 0.3  # a patch with a larger share of flat cells is cut elsewhere, if a few tries find such a place
TRIES = 4
BANDS = (1, 2, 4, 8, 16, 24, 32)  # cycles a patch


@click.command()
@click.argument("debs", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The image set to write.")
@click.option("--compare", help="A set of 64-pixel pictures to compare contrast and spectrum with.")
def main(debs: Path, out: Path, compare: str | None) -> None:
    """Cut patches from the photographs of the packages in a folder."""
    known = read_json(LIST)
    patches = [cut_patches(photograph, row) for row, photograph in enumerate(read_photographs(debs, known))]
    images = np.concatenate(patches)
    per_photograph = len(images) // len(patches)
    labels = np.repeat(np.arange(len(patches)), per_photograph)
    names = [Path(entry.get("inside", entry["path"])).stem for entry in known["photographs"]]
    class_names = [f"{row:03d} {name}" for row, name in enumerate(names)]
    write(ArrayImageSet(images, labels, class_names=class_names, name="free photographs"), out)
    click.echo(f"{len(images):,} patches of {len(patches)} photographs in {out}")
    if compare:
        shown = read(compare)
        rows = np.random.default_rng(0).permutation(len(shown))[:2000]
        click.echo(describe("there", np.stack([shown.pixels(int(row)) for row in rows])))
        click.echo(describe("here", np.random.default_rng(0).permutation(images)[:2000]))


def read_photographs(debs: Path, known: dict[str, Any]) -> Iterator[Image.Image]:
    """The photographs of the list, in its order.

    Raises:
        UnpoisonError: a package is not there.
        DataError: a package holds another picture than the list says.
    """
    opened: dict[str, dict[str, bytes]] = {}
    archives: dict[tuple[str, str], dict[str, bytes]] = {}
    for entry in known["photographs"]:
        package, path, inside = entry["package"], entry["path"], entry.get("inside")
        if package not in opened:
            wanted = {one["path"] for one in known["photographs"] if one["package"] == package}
            opened[package] = read_deb(find_package(debs, package), wanted)
        content = opened[package].get(path, b"")
        if inside:
            if (package, path) not in archives:
                archives[package, path] = read_resources(content)
            content = archives[package, path].get(inside, b"")
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            version = known["packages"][package]["version"]
            raise DataError(debs / package, f"{inside or path} is not the listed picture", f"Take version {version}")
        yield Image.open(io.BytesIO(content)).convert("RGB")


def find_package(debs: Path, package: str) -> Path:
    """The file of a package in a folder; the last by name of several."""
    found = sorted(debs.glob(f"{package}_*.deb"))
    if not found:
        raise UnpoisonError(f"{debs} has no {package}_*.deb; in that folder, run: apt-get download {package}")
    return found[-1]


def read_deb(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Some files of a package, by their paths without the leading `./`.

    A package is an `ar` archive: for each member a header of 60 bytes, whose size stands in bytes 48 to 57 as text, and
    the content, at even offsets. The files are in the member `data.tar.xz`.
    """
    with path.open("rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise DataError(path, "it is no Debian package", "Download it again")
        while len(header := file.read(60)) == 60:
            size = int(header[48:58])
            if header.startswith(b"data.tar.xz"):
                with (
                    lzma.open(io.BytesIO(file.read(size))) as unpacked,
                    tarfile.open(fileobj=unpacked, mode="r|") as tar,
                ):
                    members = ((member.name.removeprefix("./"), member) for member in tar)
                    return {name: tar.extractfile(one).read() for name, one in members if name in wanted}  # type: ignore[union-attr]
            file.seek(size + size % 2, io.SEEK_CUR)
    raise DataError(path, "it has no data.tar.xz", "Take the package of the release that the list names")


def read_resources(content: bytes) -> dict[str, bytes]:
    """The files in a binary resource file of Qt (.rcc, format 3), by path; those that zstd packed are left out.

    After the magic come format and the offsets of tree, data and names. A node of the tree has 22 bytes: the offset of
    its name, flags (1 zlib, 2 folder, 4 zstd), then count and first of a folder's children, or locale and offset of a
    file's data. A name is its length in UTF-16 units, a hash of four bytes, and the text.
    """
    magic, version, tree, data, names = struct.unpack_from(">4s4I", content)
    if magic != b"qres" or version != 3:
        raise UnpoisonError("a listed archive is no Qt resource file of format 3; take the version that the list names")

    def walk(row: int, folder: str) -> Iterator[tuple[str, bytes]]:
        name_at, flags, first, second = struct.unpack_from(">IHII", content, tree + 22 * row)
        length = struct.unpack_from(">H", content, names + name_at)[0]
        text = names + name_at + 6
        path = folder + content[text : text + 2 * length].decode("utf-16-be") if row else folder
        if flags & 2:
            for child in range(second, second + first):
                yield from walk(child, f"{path}/" if path else "")
        elif not flags & 4:
            start = data + second
            size = struct.unpack_from(">I", content, start)[0]
            packed = content[start + 4 : start + 4 + size]
            yield path, zlib.decompress(packed[4:]) if flags & 1 else packed

    return dict(walk(0, ""))


def cut_patches(photograph: Image.Image, seed: int) -> np.ndarray:
    """Squares of a photograph at many sizes, [len(SIDES) * EACH, PATCH, PATCH, 3] uint8.

    Args:
        photograph: RGB, its shorter side at least PATCH; one smaller than a size is not enlarged for it.
        seed: decides the places.
    """
    random = np.random.default_rng(seed)
    largest = _shrink(photograph, FINER * SIDES[-1])
    patches = []
    for side in SIDES:
        small = _shrink(largest, FINER * side)
        pixels = np.asarray(small.resize(_size(small, side), Image.Resampling.NEAREST))
        patches += [_cut(pixels, random) for _ in range(EACH)]
    return np.stack(patches)


def _size(photograph: Image.Image, side: int) -> tuple[int, int]:
    shorter = min(photograph.size)
    width, height = (round(length * min(side, shorter) / shorter) for length in photograph.size)
    return width, height


def _shrink(photograph: Image.Image, side: int) -> Image.Image:
    return photograph.resize(_size(photograph, side), Image.Resampling.LANCZOS)


def _cut(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A square from a random place; the least flat of a few, unless one before it is not flat."""
    tried = []
    for _ in range(TRIES):
        y, x = random.integers(pixels.shape[0] - PATCH + 1), random.integers(pixels.shape[1] - PATCH + 1)
        patch = pixels[y : y + PATCH, x : x + PATCH]
        flat = float(measure_flat(patch[None])[0])
        if flat <= MOST_FLAT:
            return patch
        tried.append((flat, y, x))
    _, y, x = min(tried)
    return pixels[y : y + PATCH, x : x + PATCH]


def measure_flat(patches: np.ndarray) -> np.ndarray:
    """Share of the cells of 8x8 pixels that deviate by less than 1% of the range, [N], of uint8 [N, 64, 64, 3]."""
    grey = patches.astype(np.float32).mean(axis=3) / 255
    cells = grey.reshape(len(grey), 8, 8, 8, 8).std(axis=(2, 4))
    return (cells < 0.01).mean(axis=(1, 2))


def describe(name: str, patches: np.ndarray) -> str:
    """Contrast, flat share and power of each band, of uint8 [N, 64, 64, 3]."""
    grey = patches.astype(np.float32).mean(axis=3) / 255
    window = np.hanning(PATCH)[:, None] * np.hanning(PATCH)
    power = (np.abs(np.fft.fft2((grey - grey.mean(axis=(1, 2), keepdims=True)) * window)) ** 2).mean(axis=0)
    cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(PATCH) * PATCH, np.fft.fftfreq(PATCH) * PATCH))
    rings = [power[(cycles >= low) & (cycles < high)].mean() for low, high in pairwise(BANDS)]
    bands = " ".join(f"{10 * np.log10(ring):.1f}" for ring in rings)
    contrast, flat = grey.std(axis=(1, 2)).mean(), measure_flat(patches).mean()
    return f"{name}: contrast {contrast:.3f}, flat {flat:.3f}, dB from {BANDS[0]} to {BANDS[-1]} cycles {bands}"


if __name__ == "__main__":
    main()
