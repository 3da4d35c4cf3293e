"""The contract that every purifier must keep to, checked on small pictures: for tests of one's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unpoison.core.device import same_bits
from unpoison.core.errors import RunError
from unpoison.core.images import ArrayImageSet
from unpoison.core.noise import Window
from unpoison.core.pixels import to_uint8
from unpoison.purifiers.chain import Chain, build_purifier
from unpoison.purifiers.own import named_purifier
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.calls import purify_images
from unpoison.runs.preparing import prepare
from unpoison.runs.run import PurifyRun
from unpoison.runs.tiling import WHOLE, tiles

_HALF_LEVEL = 0.5 / 255
_NEIGHBOURS = 2 / 255  # calls of other shapes may differ in last bits, which many steps magnify
_LONG = WHOLE + 128  # a picture of two tiles


def check_purifier(method: Any, **settings: Any) -> None:
    """Try a purifier on random pictures, on the CPU.

    Args:
        method: as for `purify`: a name, `package.module:Class`, a class or an object.
        **settings: fields of the method; small ones, so that it is quick.

    Raises:
        RunError: says which rule is broken.
        SettingsError: it is no purifier, or the settings are wrong.
    """
    cpu = torch.device("cpu")
    with named_purifier(method) as name, same_bits(cpu):
        run = PurifyRun(purifier_settings(name, overrides=settings)).resolved(cpu)
        for link, own in run.settings.items():
            _rule(type(own).model_validate_json(own.model_dump_json()) == own, link, "its settings survive JSON")
        purifier = build_purifier(run.settings, device=cpu)
        check_images(purifier, name)
        check_halo(purifier, name)


def check_images(purifier: Purifier | Chain, name: str) -> None:
    """Shape, range, type, seeds and neighbours of what it makes of small pictures.

    Raises:
        RunError: says which rule is broken.
    """
    images = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ids = [str(row) for row in range(len(images))]
    shown = ArrayImageSet(to_uint8(images), [row % 2 for row in range(len(ids))], ids=ids)
    purifier = prepare(purifier, shown, seed=0)
    before = images.clone()
    purified, again, other = (_purify(purifier, images, ids, seed=seed) for seed in (0, 0, 1))
    _rule(torch.equal(images, before), name, "the images that it is given are not changed")
    _rule(purified.shape == images.shape and purified.dtype == torch.float32, name, "shape and type stay: float32")
    _rule(bool(((purified >= 0) & (purified <= 1)).all()), name, "values lie in [0, 1], and none is NaN")
    _rule(torch.equal(purified, again), name, "the same seed gives the same bytes; draw from `noise` alone")
    links = purifier.links if isinstance(purifier, Chain) else [purifier]
    if not any(link.is_random for link in links):
        _rule(torch.equal(purified, other), name, "is_random is False, so that the seed changes nothing")
    alone = _purify(purifier, images[2:3], ids[2:3], seed=0)
    difference = (alone - purified[2:3]).abs().max().item()
    _rule(difference <= _NEIGHBOURS, name, "an image does not depend on its neighbours, nor on how many there are")


def check_halo(purifier: Purifier | Chain, name: str) -> None:
    """Tiled against whole: what `halo` promises. Nothing is checked where it is None.

    Raises:
        RunError: the tiles show.
    """
    if purifier.halo is None:
        return
    for height, width in ((_LONG, 48), (48, _LONG)):
        images = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
        whole = _purify(purifier, images, ["0"], seed=0, place=Window(0, 0, height, width))
        for tile in tiles(height, width, purifier.halo):
            part = _purify(purifier, images[:, :, *tile.window], ["0"], seed=0, place=tile.place)
            difference = (part[:, :, *tile.inside] - whole[:, :, *tile.core]).abs()
            seen = int((difference > _HALF_LEVEL).sum())
            _rule(seen == 0, name, f"a tile is like the whole; with halo {purifier.halo}, {seen} values differ")


def _purify(
    purifier: Purifier | Chain, images: Tensor, ids: list[str], *, seed: int, place: Window | None = None
) -> Tensor:
    return purify_images(purifier, images, ids, seed=seed, call=len(ids), place=place)


def _rule(holds: bool, name: str, rule: str) -> None:
    if not holds:
        raise RunError(f"purifier '{name}' breaks a rule: {rule}")
