"""Defences at train time by name. Several are joined by `+`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unpoison.core.methods import load_method

if TYPE_CHECKING:
    from unpoison.classify.defences.protocol import Defence

METHODS = {
    "compensation": "unpoison.classify.defences.compensation:Compensation",
    "cutout": "unpoison.classify.defences.cutout:Cutout",
    "mixup": "unpoison.classify.defences.mixup:Mixup",
    "cutmix": "unpoison.classify.defences.cutmix:Cutmix",
    "ueraser-lite": "unpoison.classify.defences.ueraser:UeraserLite",
    "ueraser": "unpoison.classify.defences.ueraser:Ueraser",
    "ueraser-max": "unpoison.classify.defences.ueraser:UeraserMax",
    "epic": "unpoison.classify.defences.epic:Epic",
    "friendly-noise": "unpoison.classify.defences.friendly_noise:FriendlyNoise",
    "adversarial": "unpoison.classify.defences.adversarial:Adversarial",
    "gradient-shaping": "unpoison.classify.defences.gradient_shaping:GradientShaping",
}


def load_defence(name: str) -> type[Defence]:
    """The class of a defence.

    Raises:
        SettingsError: there is none of this name.
    """
    found: type[Defence] = load_method(METHODS, name, kind="defence")
    return found
