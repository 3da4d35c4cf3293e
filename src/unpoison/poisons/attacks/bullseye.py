"""Bullseye Polytope: poisons whose features surround the target's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from unpoison.classify.classifier import Classifier, features
from unpoison.core.device import choose_device
from unpoison.core.errors import SettingsError
from unpoison.core.images import ImageSet
from unpoison.core.pixels import to_float, to_uint8
from unpoison.core.settings import Bound
from unpoison.poisons.engine.adam import channel_unit, descend, stored_ball
from unpoison.poisons.engine.surrogates import SurrogateSettings, surrogates
from unpoison.poisons.engine.targets import TargetSettings, find_setup
from unpoison.poisons.protocol import Attack, PoisonedSet, Resources, require_labels


class BullseyeSettings(TargetSettings, SurrogateSettings):
    """Settings of Bullseye Polytope.

    Args:
        mode: `linear` looks at the features before the head, for victims that train a new head on a fixed body;
            `end-to-end` also at the block before the body's last, for victims that fine-tune it.
        epsilon: bound of every value of the perturbation; the poisoning benchmark has 8/255.
        poisons: pictures perturbed; the benchmark has 25, PureGen 50 for linear transfer.
        iterations: steps of Adam.
        learning_rate: of Adam, for normalised pictures.
        repeats: draws of dropout that the features are averaged over (BP-3x is 3).
        dropout: share of the channels that is dropped after each stage; the same ones for all pictures of a draw.
    """

    mode: Literal["linear", "end-to-end"] = "linear"
    epsilon: Bound = "0.1"
    poisons: int = Field(default=5, ge=1)
    iterations: int = Field(default=800, ge=1)
    learning_rate: float = Field(default=0.04, gt=0)
    repeats: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class BullseyePoison(Attack):
    """A few pictures of one class, moved until the mean of their features is the target's.

    What a linear head says of the mean is the mean of what it says of the poisons; so it gives the target their label.
    Adam moves normalised pictures, as the authors' code does.

    References:
        Aghakhani et al., Bullseye Polytope: a scalable clean-label poisoning attack with improved transferability,
        EuroS&P 2021, https://arxiv.org/abs/2005.00191
    """

    Settings = BullseyeSettings
    kind = "triggerless"
    chooses = True
    uses = ("surrogates", "target_set")

    def craft(
        self, image_set: ImageSet, settings: BullseyeSettings, *, generator: torch.Generator, resources: Resources
    ) -> PoisonedSet:
        require_labels(image_set, "bullseye")
        if settings.repeats > 1 and not settings.dropout:
            raise SettingsError(f"repeats={settings.repeats} of the same features; set dropout, or repeats=1")
        setup, target = find_setup("bullseye", image_set, settings, generator=generator, resources=resources)
        bodies = surrogates(image_set, settings, generator=generator, resources=resources)
        device = choose_device(resources.device)
        bases = np.stack(image_set.load(setup.base_indices))
        clean, aim = to_float(bases).to(device), to_float(target.image[None]).to(device)
        draws = torch.Generator(device).manual_seed(int(torch.randint(2**62, (1,), generator=generator)))

        def distance(poisons: Tensor, mode: str, repeats: int, dropout: float) -> Tensor:
            return bullseye_loss(bodies, poisons, aim, mode=mode, repeats=repeats, dropout=dropout, generator=draws)

        def slope(delta: Tensor) -> tuple[float, Tensor]:
            delta = delta.detach().requires_grad_()
            loss = distance(clean + delta, settings.mode, settings.repeats, settings.dropout)
            (gradient,) = torch.autograd.grad(loss, delta)
            return loss.item(), gradient

        delta = descend(
            clean,
            torch.zeros_like(clean),
            slope,
            ball=stored_ball(settings.epsilon),
            unit=channel_unit(image_set, device),
            learning_rate=settings.learning_rate,
            steps=settings.iterations,
            on_step=resources.on_step,
        )
        stored = to_uint8(clean + delta)
        with torch.no_grad():
            facts = {
                f"{name}_{when}": distance(to_float(pictures).to(device), mode, 1, 0.0).item()
                for name, mode in (("loss", settings.mode), ("feature_distance", "linear"))
                for when, pictures in (("before", bases), ("after", stored))
            }
        ids = tuple(image_set.ids[row] for row in setup.base_indices)
        return PoisonedSet(stored, ids, "triggerless", target=target, facts=facts)


def bullseye_loss(
    bodies: Sequence[Classifier],
    poisons: Tensor,
    target: Tensor,
    *,
    mode: str,
    repeats: int = 1,
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """How far the centre of the poisons' features is from the target's, in lengths of the latter.

    Mean over bodies, and over the levels of each, of |mean_i phi(x_i) - phi(t)| / |phi(t)|, where phi is averaged over
    the draws of dropout first. In a level that has places, the length is over the channels of a place, and the mean is
    over its places too; places where the target shows nothing are left out.

    Args:
        bodies: in evaluation mode.
        poisons: [N, 3, H, W] float32 in [0, 1].
        target: [1, 3, H, W], the same.
        mode: `linear` takes the features before the head, `end-to-end` the output of the block before the last too,
            as the authors' code does.
        repeats: draws of dropout.
        dropout: share of the channels that each draw leaves out after every stage.
        generator: source of the draws, on the device of the pictures; not used without dropout.
    """
    pictures = torch.cat([target, poisons])
    losses = []
    for body in bodies:
        draws = [observe(body, pictures, dropout=dropout, generator=generator) for _ in range(repeats)]
        levels = [torch.stack(level).mean(dim=0) for level in zip(*draws, strict=True)]
        losses.append(torch.stack([_off_centre(level) for level in (levels if mode == "end-to-end" else levels[-1:])]))
    return torch.stack([loss.mean() for loss in losses]).mean()


def _off_centre(level: Tensor) -> Tensor:
    """Of features [1 + N, C] or [1 + N, C, H, W], the target's first."""
    aim, centre = level[0].detach(), level[1:].mean(dim=0)
    lengths = aim.norm(dim=0)
    distances: Tensor = (centre - aim).norm(dim=0) / lengths.clamp(min=1e-12)
    return distances[lengths > 0].mean()


def observe(
    body: Classifier, pictures: Tensor, *, dropout: float = 0.0, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """The output of the block before a body's last, [N, C, H, W], and the features before its head, [N, D]."""
    seen: list[Tensor] = []
    with _dropping(stages(body), dropout, generator):
        hook = before_last(body).register_forward_hook(lambda _, __, output: seen.append(output))
        try:
            last = features(body, pictures)
        finally:
            hook.remove()
    return seen[0], last.flatten(1)


def before_last(body: Classifier) -> nn.Module:
    """The last block but one: of a ResNet or DenseNet in its last stage, of a MobileNet or VGG in its one sequence.

    Raises:
        SettingsError: a net of another build has none.
    """
    parts = stages(body)
    blocks = list(parts[-1].children()) if parts and isinstance(parts[-1], nn.Sequential) else []
    if len(blocks) < 2 and len(parts) < 2:
        raise SettingsError(
            f"bullseye looks at the block before the last, and {body.architecture} is not built of blocks; give it "
            "surrogates that are, such as resnet18"
        )
    return blocks[-2] if len(blocks) > 1 else parts[-2]


def stages(body: Classifier) -> Sequence[nn.Module]:
    """The parts of a net that follow each other at the top: the stages of a ResNet or DenseNet.

    Where all of them are in one sequence, they are its poolings (VGG), or else its members (MobileNet).
    """
    parts = [part for part in body.net.children() if isinstance(part, nn.Sequential) and list(part.parameters())]
    if len(parts) != 1:
        return parts
    members = list(parts[0])
    return [member for member in members if isinstance(member, nn.MaxPool2d)] or members


@contextmanager
def _dropping(parts: Sequence[nn.Module], dropout: float, generator: torch.Generator | None) -> Iterator[None]:
    """Leave channels of what each part gives out, the same ones for all pictures."""

    def drop(_: nn.Module, __: tuple[object, ...], output: Tensor) -> Tensor:
        kept = torch.rand(output.shape[1], generator=generator, device=output.device) >= dropout
        return output * (kept / (1 - dropout)).view(1, -1, 1, 1)

    hooks = [part.register_forward_hook(drop) for part in parts if dropout]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
