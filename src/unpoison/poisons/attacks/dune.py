"""DUNE: a perturbation of pixels, and with it one of colour, which denoising leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from unpoison.classify.classifier import Classifier
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float
from unpoison.core.progress import OnStep, StepInfo
from unpoison.core.settings import Bound, bound_value
from unpoison.poisons.engine.pgd import Descent, DescentSettings, cross_entropy
from unpoison.poisons.engine.surrogates import CheckpointSettings, train_checkpoints
from unpoison.poisons.measuring import achieved_norms
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, add_and_quantise, require_labels

# Of the swarm: how much of its velocity a particle keeps, and how strongly its own best place and the best of all
# draw it.
_INERTIA, _OWN, _COMMON = 0.5, 0.3, 0.3
_FIRST_VELOCITY = 0.1  # at most, as a share of the bound


class DuneSettings(DescentSettings, CheckpointSettings):
    """Settings of DUNE: 30 steps from the clean image, shown as it is. `epsilon` bounds the perturbation of pixels.

    Args:
        label_shift: class k of K is moved towards class k + `label_shift`, modulo K.
        colour_bound: most that a colour shift moves a channel by, beside what `epsilon` allows.
        particles: places at which the search for a colour shift looks at once.
        iterations: how often they move.
        colour_images: at most so many pictures of a class, its first ones, decide its shift.
    """

    label_shift: int = Field(default=3, ge=1)
    steps: int = Field(default=30, ge=1)
    step_size: Bound = "0.5/255"
    crop_padding: int = Field(default=0, ge=0)
    flip: bool = False
    colour_bound: Bound = "0.1"
    particles: int = Field(default=10, ge=1)
    iterations: int = Field(default=10, ge=1)
    colour_images: int = Field(default=1000, ge=1)


class DunePoison(Attack):
    """Every image is moved to where several networks see another class, and every class is given a tint that does too.

    The tint is one shift of red, green and blue for all pictures of a class. It is searched for with a swarm of
    particles, without gradients and apart from the perturbation of pixels; both are then added.

    The networks are checkpoints of one training, as in the published code, or the surrogates given. That code limits
    what a shift may do to PSNR (20 dB), SSIM and LPIPS by penalties; here it stays within `colour_bound`, where the
    default keeps the PSNR, and the other two, small beside the loss, are left out. The best place found stays where it
    was found; there it moves on with its particle.

    References:
        Wang et al.: Dual-branch Robust Unlearnable Examples, ICML 2026, https://arxiv.org/abs/2605.01718, with the
        values of the code at https://github.com/wxldragon/DUNE
        Kennedy and Eberhart: Particle Swarm Optimization, ICNN 1995
    """

    Settings = DuneSettings
    uses = ("surrogates",)

    def craft(
        self, image_set: ImageSet, settings: DuneSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "dune")
        classes = len(image_set.class_names)
        if settings.label_shift % classes == 0:
            raise SettingsError(
                f"dune moves every image towards another class, but label_shift={settings.label_shift} leads each of "
                f"{classes} back to itself; set another label_shift"
            )
        models = train_checkpoints("dune", image_set, settings, generator=generator, resources=resources)
        device = choose_device(resources.device)
        shifts = colour_shifts(image_set, models, settings, generator=generator, on_step=resources.on_step)
        clean, labels = image_set.array(), image_set.labels
        targets = ((torch.from_numpy(labels) + settings.label_shift) % classes).to(device)
        descent = Descent(settings, device, generator, resources.on_step)
        moved = descent.run(clean, lambda rows: cross_entropy(models, targets[rows]), random_start=False)
        tints = np.stack([shifts.get(label, np.zeros(3)) for label in range(classes)])[labels][:, None, None] / 255
        facts = {
            "pixels": _asked_and_achieved(settings.epsilon, clean, moved),
            "colour": {
                **_asked_and_achieved(settings.colour_bound, clean, add_and_quantise(clean, tints, "round")),
                "shifts_255": {image_set.class_names[label]: shift.tolist() for label, shift in shifts.items()},
            },
        }
        return PoisonedSet(add_and_quantise(moved, tints, "round"), image_set.ids, "availability", facts=facts)


def colour_shifts(
    image_set: ImageSet,
    models: list[Classifier],
    settings: DuneSettings,
    *,
    generator: torch.Generator,
    on_step: OnStep | None = None,
) -> dict[int, np.ndarray]:
    """The shift of each class that has a picture, in whole levels of 8 bits, [3] int64, within the bound.

    Args:
        image_set: clean labelled pictures of one size.
        models: in evaluation mode, on their device, with the classes of the set.
        settings: of the search.
        generator: source of where the particles begin.
        on_step: called after each class.
    """
    device = next(models[0].parameters()).device
    bound = bound_value(settings.colour_bound)
    images, labels = image_set.array(), image_set.labels
    present = np.unique(labels).tolist()
    shifts = {}
    for number, label in enumerate(present, start=1):
        shown = to_float(images[np.flatnonzero(labels == label)[: settings.colour_images]])
        target = (label + settings.label_shift) % len(image_set.class_names)

        @torch.no_grad()
        def loss(shift: Tensor, shown: Tensor = shown, target: int = target) -> float:
            total = 0.0
            for batch in shown.split(settings.batch_size):
                tinted = (batch.to(device) + shift.to(device).view(1, 3, 1, 1)).clamp(0, 1)
                wanted = torch.full((len(batch),), target, device=device)
                total += float(settings.cast(cross_entropy(models, wanted))(tinted).sum())
            return total / len(shown)

        best = search(
            loss, bound=bound, particles=settings.particles, iterations=settings.iterations, generator=generator
        )
        highest = int(255 * bound)  # a tenth is 25.5 levels, of which 25 can be stored
        shifts[label] = best.mul(255).round().clamp(-highest, highest).long().numpy()
        if on_step:
            on_step(StepInfo(number, len(present)))
    return shifts


def search(
    loss: Callable[[Tensor], float], *, bound: float, particles: int, iterations: int, generator: torch.Generator
) -> Tensor:
    """The shift [3] with the lowest loss that a swarm of particles finds, each value within [-bound, bound].

    Args:
        loss: of a shift [3].
        bound: of each value.
        particles: how many look at once.
        iterations: how often each looks.
        generator: source of where they begin and how fast; from there on nothing is random.
    """
    places = bound * (2 * torch.rand(particles, 3, generator=generator) - 1)
    velocities = _FIRST_VELOCITY * bound * (2 * torch.rand(particles, 3, generator=generator) - 1)
    own, lowest = places.clone(), torch.full((particles,), torch.inf)
    for _ in range(iterations):
        losses = torch.tensor([loss(place) for place in places])
        better = losses < lowest
        own[better], lowest[better] = places[better], losses[better]
        best = own[lowest.argmin()]
        velocities = _INERTIA * velocities + _OWN * (own - places) + _COMMON * (best - places)
        places = (places + velocities).clamp(-bound, bound)
    return own[lowest.argmin()]


def _asked_and_achieved(bound: str, clean: np.ndarray, stored: np.ndarray) -> dict[str, Any]:
    return {"bound": bound, **achieved_norms(clean, stored)}
