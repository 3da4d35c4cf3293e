"""Purifiers made from a method's name and settings; chains such as `jpeg+eclipse` included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from unpoison.core.noise import Noise
from unpoison.core.settings import Settings
from unpoison.dynamics.steps import OnImageStep, ShouldStop
from unpoison.nets.protocols import Denoiser
from unpoison.purifiers.methods import load_purifier
from unpoison.purifiers.protocol import Purifier


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

    def purify(
        self,
        images: Tensor,
        *,
        noise: Noise,
        on_step: OnImageStep | None = None,
        should_stop: ShouldStop | None = None,
    ) -> Tensor:
        for number, link in enumerate(self.links):
            images = link.purify(images, noise=noise.child(str(number)), on_step=on_step, should_stop=should_stop)
        return images


def build_purifier(
    settings: Mapping[str, Settings], *, device: torch.device, denoiser: Denoiser | None = None
) -> Purifier | Chain:
    """Make the purifier that `purifier_settings` describes; loads its weights.

    Args:
        settings: of every link.
        device: where to compute.
        denoiser: a model in memory for the links that take one, in place of the one in their settings.

    Raises:
        ModelError: a network is missing or does not fit.
    """
    links = []
    for name, link_settings in settings.items():
        make = load_purifier(name)
        own = {"denoiser": denoiser} if denoiser is not None and make.takes_denoiser else {}
        links.append(make(link_settings, device=device, **own))
    return links[0] if len(links) == 1 else Chain(links)
