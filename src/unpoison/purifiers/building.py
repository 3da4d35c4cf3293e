"""From a method's name and settings to a purifier; chains such as `jpeg+eclipse` included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unpoison.core.errors import SettingsError
from unpoison.core.methods import load_method
from unpoison.core.noise import Noise
from unpoison.core.progress import OnStep
from unpoison.core.settings import Settings, build_settings, read_profile
from unpoison.data.puregen_keys import parse_key
from unpoison.purifiers.base import Purifier
from unpoison.purifiers.methods import METHODS

_ROOM = "unpoison.purifiers"


class Chain:
    """Purifiers one after the other, each with noise of its own.

    Args:
        links: at least two, in order.
    """

    def __init__(self, links: Sequence[Purifier]):
        self.links = links
        self.weights = {name: digest for link in links for name, digest in link.weights.items()}
        strengths = [link.strength_255 for link in links if link.strength_255 is not None]
        self.strength_255 = max(strengths) if strengths else None
        halos = [link.halo for link in links]
        self.halo = None if None in halos else sum(halo for halo in halos if halo is not None)

    def purify(self, images: Tensor, *, noise: Noise, on_step: OnStep | None = None) -> Tensor:
        for number, link in enumerate(self.links):
            images = link.purify(images, noise=noise.child(str(number)), on_step=on_step)
        return images


def purifier_settings(
    method: str, *, profiles: Sequence[str] = (), overrides: Mapping[str, Any] | None = None
) -> dict[str, Settings]:
    """Settings of every link of a method.

    The shipped profiles have a section for each purifier; a user's own file holds the fields themselves.

    Args:
        method: a purifier, or several joined by `+`, each at most once; or a data key of PureGen, such as
            `EBM[Steps[150]]_DDPM[T[75]]`, of which the counts are taken and the models are left to the settings.
        profiles: profiles of the room; only for a single purifier.
        overrides: `field`, or `purifier.field` in a chain, to value.

    Returns:
        link name -> settings, in order.

    Raises:
        SettingsError: an unknown purifier, profile or field.
    """
    if "[" in method:
        found = parse_key(method)
        method, overrides = found.method, {**found.settings, **(overrides or {})}
    names = method.split("+")
    if len(set(names)) < len(names):
        raise SettingsError(f"'{method}' names a purifier twice")
    if len(names) > 1 and profiles:
        raise SettingsError(f"profiles are for one purifier; set fields of '{method}' with --set purifier.field=value")
    per_link: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in (overrides or {}).items():
        link, dot, field = key.rpartition(".")
        link = link if dot else names[0]
        if link not in per_link or (len(names) > 1 and not dot):
            raise SettingsError(f"setting '{key}': in '{method}' write one of {', '.join(f'{n}.field' for n in names)}")
        per_link[link][field] = value
    fields = {
        key: value for profile in profiles for key, value in read_profile(profile, _ROOM, section=names[0]).items()
    }
    return {
        name: build_settings(
            load_method(METHODS, name, kind="purifier").Settings, overrides={**fields, **per_link[name]}, of=name
        )
        for name in names
    }


def build_purifier(settings: Mapping[str, Settings], *, device: torch.device) -> Purifier | Chain:
    """Make the purifier that `purifier_settings` describes; loads its weights.

    Raises:
        ModelError: a network is missing or does not fit.
    """
    links = [
        load_method(METHODS, name, kind="purifier")(link_settings, device=device)
        for name, link_settings in settings.items()
    ]
    return links[0] if len(links) == 1 else Chain(links)
