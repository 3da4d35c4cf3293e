"""A block comes out the same however it is cut into calls and tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from unpoison.core.noise import run_noise
from unpoison.core.pixels import images_per_call, to_float, to_uint8
from unpoison.nets.compact import CompactUNet
from unpoison.nets.pocket import PocketUNet
from unpoison.nets.preconditioned import PreconditionedDenoiser
from unpoison.purifiers.chain import build_purifier
from unpoison.purifiers.fast import FastPurifier, FastSettings
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs import tiling
from unpoison.runs.calls import purify_pictures
from unpoison.runs.tiling import tiles

CPU = torch.device("cpu")


class Smoothing:
    """Noise of both kinds, then means over cells of 4x4 pixels, then a 5x5 mean."""

    halo: int | None = 5

    def __init__(self):
        self.shapes: list[tuple[int, ...]] = []

    def purify(self, images, *, noise, on_step=None, should_stop=None):
        self.shapes.append(tuple(images.shape))
        height, width = images.shape[2:]
        blocks = noise.child("0").nodes(images, "blocks", 8)[..., :-1, :-1].repeat_interleave(8, 2)
        x = images + 0.1 * blocks.repeat_interleave(8, 3)[..., :height, :width]
        x = x + 0.1 * noise.child("0").normal(images, "forward")
        x = F.avg_pool2d(x, 4, ceil_mode=True).repeat_interleave(4, 2).repeat_interleave(4, 3)[..., :height, :width]
        return F.conv2d(x, torch.full((3, 1, 5, 5), 1 / 25), None, 1, 2, 1, 3).clamp(0, 1)


def _pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for height, width in sizes]


def _purify(purifier, pictures, ids=None, *, microbatch=64, batch_size=256):
    return purify_pictures(
        purifier,
        pictures,
        ids or [str(row) for row in range(len(pictures))],
        seed=3,
        microbatch=microbatch,
        batch_size=batch_size,
        device=CPU,
    )


def _whole(purifier, picture, image_id="0"):
    with torch.inference_mode():
        images = to_float(picture[None])
        return to_uint8(purifier.purify(images, noise=run_noise(3, [image_id])))[0]


def test_tiles_cover_a_picture_once_and_windows_hold_the_halo():
    covered = np.zeros((1300, 900), int)
    for tile in tiles(1300, 900, 40):
        covered[tile.core] += 1
        for (core, window, inside), length in zip(
            zip(tile.core, tile.window, tile.inside, strict=True), (1300, 900), strict=True
        ):
            assert window.start == max(core.start - 48, 0)
            assert window.stop == min(core.stop + 48, length)
            assert (inside.start, inside.stop) == (core.start - window.start, core.stop - window.start)
            assert window.start % 16 == 0
            assert core.stop - core.start <= 512
        assert (tile.place.top, tile.place.left) == (tile.window[0].start, tile.window[1].start)
    assert (covered == 1).all()


@pytest.mark.parametrize(("height", "width", "halo"), [(512, 512, 30), (40, 30, 0), (2000, 3000, None)])
def test_small_pictures_and_those_of_unknown_halo_are_not_cut(height, width, halo):
    (tile,) = tiles(height, width, halo)
    assert tile.window == tile.core == (slice(0, height), slice(0, width))
    assert tile.place is None


@pytest.mark.parametrize(("height", "width"), [(1300, 900), (513, 64), (100, 1041)])
def test_tiled_equals_whole(height, width):
    (picture,) = _pictures((height, width))
    purifier = Smoothing()
    (tiled,) = _purify(purifier, [picture])
    assert len(purifier.shapes) > 1
    assert np.array_equal(tiled, _whole(Smoothing(), picture))


@pytest.mark.parametrize("method", ["jpeg", "grayscale", "jpeg+grayscale"])
def test_tiled_filters_equal_whole(method):
    purifier = build_purifier(purifier_settings(method), device=CPU)
    (picture,) = _pictures((1300, 901))
    picture = picture // 4 + 100  # colours that clip nowhere, so that every error would show
    (tiled,) = _purify(purifier, [picture])
    assert np.array_equal(tiled, _whole(purifier, picture))


class Network:
    """One call of the compact network on a noised image."""

    def __init__(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = CompactUNet(channels=16).eval().requires_grad_(False)
            for parameter in self.net.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
        self.halo = _reach(self.net)

    def purify(self, images, *, noise, on_step=None, should_stop=None):
        x = images + 0.1 * noise.normal(images, "forward")
        return (x - 0.05 * self.net(x, torch.full((len(x),), 20.0))[:, :3]).clamp(0, 1)


def _reach(net) -> int:
    """How far away the farthest pixel is that moves one of four neighbours, found by their gradients."""
    distances = []
    for row in range(64, 68):
        x = torch.rand(1, 3, 128, 68, requires_grad=True)
        net(x, torch.tensor([20.0]))[0, :, row, 33].sum().backward()
        distances += (x.grad.abs().sum((0, 1, 3)).nonzero() - row).abs().flatten().tolist()
    return max(distances)


def test_a_tiled_picture_differs_from_the_whole_by_at_most_one_level():
    purifier = Network()
    assert 16 < purifier.halo <= purifier.net.reach <= 64
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (82, 57, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)[:1300, :900]
    (tiled,) = _purify(purifier, [picture])
    whole = _whole(purifier, picture)
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4
    assert (tiled != picture).mean() > 0.5


def test_a_halo_that_is_too_small_shows():
    purifier = Network()
    purifier.halo = 0
    (picture,) = _pictures((600, 100))
    (tiled,) = _purify(purifier, [picture])
    assert np.abs(tiled.astype(int) - _whole(purifier, picture)).max() > 1


def test_the_size_of_a_picture_alone_decides_the_shape_of_its_call():
    sizes = [(32, 32)] * 70 + [(64, 48)] * 3 + [(224, 224)] * 2 + [(20, 16)]
    purifier = Smoothing()
    pictures = _pictures(*sizes)
    together = _purify(purifier, pictures)
    assert sorted(set(purifier.shapes)) == [(1, 3, 224, 224), (21, 3, 64, 48), (64, 3, 20, 16), (64, 3, 32, 32)]
    for row in (0, 69, 71, 74, 75):
        (alone,) = _purify(purifier, [pictures[row]], [str(row)], batch_size=1)
        assert np.array_equal(alone, together[row])
    small = _purify(purifier, pictures, batch_size=64)
    assert all(np.array_equal(first, second) for first, second in zip(small, together, strict=True))


@pytest.mark.parametrize(
    ("side", "expected"), [(8, 64), (32, 64), (64, 16), (181, 2), (182, 1), (512, 1), (tiling.WHOLE + 100, 1)]
)
def test_images_per_call(side, expected):
    assert images_per_call(64, side * side) == expected


@pytest.mark.parametrize("steps", [1, 2])
def test_fast_sees_the_same_noise_and_field_in_tiles(steps):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = PocketUNet(channels=16, blocks=[0, 2, 0]).eval().requires_grad_(False)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
    denoiser = PreconditionedDenoiser(net, sigma_min=2 / 255, sigma_max=100 / 255, field_max=40 / 255)
    settings = FastSettings(sigma="26/255", field="24/255", steps=steps, precision="fp32")
    purifier = FastPurifier(settings, device=CPU, denoiser=denoiser)
    (picture,) = _pictures((540, 130))
    (tiled,) = _purify(purifier, [picture])
    assert 0 < purifier.halo <= 64
    assert np.abs(tiled.astype(int) - _whole(purifier, picture)).max() <= 1


def test_the_denoiser_in_the_package_leaves_no_seam():
    """The weights that users get, bf16, a field, a picture just over two tiles: at most one level off anywhere."""
    ramp = np.add.outer(np.arange(544), np.arange(576)) % 256
    rng = np.random.default_rng(0)
    picture = np.clip(ramp[..., None] + rng.normal(0, 6, (544, 576, 3)), 0, 255).astype(np.uint8)
    purifier = build_purifier(purifier_settings("fast", overrides={"field": "16/255"}), device=CPU)
    (tiled,) = _purify(purifier, [picture])
    difference = np.abs(tiled.astype(int) - _whole(purifier, picture))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001
