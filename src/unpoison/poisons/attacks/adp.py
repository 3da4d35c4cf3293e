"""ADP: ECLIPSE's adaptive poison, and a fair form of it that knows the purification too."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from unpoison.core.device import choose_device
from unpoison.core.images import ImageSet
from unpoison.core.noise import Noise, run_noise
from unpoison.core.pixels import smooth_luma
from unpoison.core.settings import Bound, file_fields
from unpoison.poisons.engine.bilevel import BilevelSettings, ErrorMinimiser, Show
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, add_and_quantise, require_labels
from unpoison.purifiers.chain import Chain, build_purifier
from unpoison.purifiers.protocol import Purifier
from unpoison.purifiers.settings import purifier_settings

_FIRST_MODEL = "pocket"  # of `fast`, before `pocket-free`


class AdpSettings(BilevelSettings):
    """Settings of ADP. The paper gives neither radius nor steps; those of EM are taken.

    Args:
        grayscale_probability: chance of an image to be shown in grey.
        noise_sigma: deviation of the noise it is shown with, in [0, 1] units.
        through: a purifier that the attacker knows and differentiates through, e.g. `fast`; empty for the paper's
            attack, which leaves the purification out.
        through_settings: fields of that purifier.
        draws: draws of all noise over which a step is averaged.
        known_seed: of the purification, for an attacker who has got hold of it and aims at its noise; if left out, the
            attacker guesses, with other noise at each call.
    """

    surrogate: str = "unet"
    steps: int = Field(default=20, ge=1)
    step_size: Bound = "0.8/255"
    grayscale_probability: float = Field(default=0.4, ge=0, le=1)
    noise_sigma: float = Field(default=0.05, ge=0)
    through: str = ""
    through_settings: Mapping[str, Any] = {}
    draws: int = Field(default=1, ge=1)
    known_seed: int | None = Field(default=None, ge=0)

    def described(self) -> dict[str, Any]:
        fields = super().described()
        if self.known_seed is None:  # as in records from before there was such a field
            del fields["known_seed"]
        for keys, text in self._models().items():
            given = next((key for key in keys if self.through_settings.get(key)), "")
            if text == _FIRST_MODEL:  # whether named or not: records from when it was the default do not name it
                fields["through_settings"].pop(given, None)
            elif not given:
                fields["through_settings"][keys[0]] = text
        return fields

    def named_files(self) -> dict[tuple[str, ...], str]:
        return {
            ("through_settings", key): self.through_settings[key]
            for keys in self._models()
            for key in keys
            if self.through_settings.get(key)
        }

    def _models(self) -> dict[tuple[str, str], str]:
        """What `through` computes with, by both names that a user may have given to the field."""
        links = purifier_settings(self.through, overrides=self.through_settings) if self.through else {}
        return {
            (field, f"{name}.{field}"): text
            for name, link in links.items()
            for field in file_fields(type(link))
            if (text := getattr(link, field))
        }


class AdpPoison(Attack):
    """Error-minimising noise for a network that sees what ECLIPSE's training shows it.

    References:
        Wang et al.: ECLIPSE, ESORICS 2024, section 4.4, https://arxiv.org/abs/2406.15093
        Averaging over draws: Athalye et al., Synthesizing robust adversarial examples, ICML 2018,
        https://arxiv.org/abs/1707.07397
    """

    Settings = AdpSettings

    def craft(
        self, image_set: ImageSet, settings: AdpSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "adp")
        device = choose_device(resources.device)
        purifier = None
        if settings.through:
            fields = purifier_settings(settings.through, overrides=settings.through_settings)
            purifier = build_purifier(fields, device=device)
        minimiser = ErrorMinimiser(
            image_set,
            settings,
            show=_defended(image_set, settings, purifier, device=device, generator=generator),
            draws=settings.draws,
            generator=generator,
            resources=resources,
        )
        delta, facts = minimiser.run()
        poisoned = add_and_quantise(image_set.array(), delta.permute(0, 2, 3, 1).numpy(), "round")
        known = {"purifier_weights": dict(purifier.weights)} if purifier else {}
        return PoisonedSet(poisoned, image_set.ids, "availability", facts={**facts, **known})


def _defended(
    image_set: ImageSet,
    settings: AdpSettings,
    purifier: Purifier | Chain | None,
    *,
    device: torch.device,
    generator: torch.Generator,
) -> Show:
    """What the defender's network sees of an image: purified, perhaps grey, noisy; drawn anew at each call."""
    draws = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
    seed = int(torch.randint(2**31, (1,), generator=generator))
    calls = itertools.count()

    def show(images: Tensor, rows: Tensor) -> Tensor:
        if purifier:
            ids, known = [image_set.ids[row] for row in rows.tolist()], settings.known_seed
            guess = Noise(seed, f"adp.{next(calls)}", ids)
            images = purifier.purify(images, noise=guess if known is None else run_noise(known, ids))
        grey = torch.rand(len(images), 1, 1, 1, generator=draws, device=device) < settings.grayscale_probability
        coloured = torch.where(grey, smooth_luma(images), images)
        noise = torch.randn(images.shape, generator=draws, device=device)
        return (coloured + settings.noise_sigma * noise).clamp(0, 1)

    return show
