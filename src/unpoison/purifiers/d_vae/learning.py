"""The training of D-VAE's network on the set that is to be purified.

It stands here and not in `fitting`: its network is of use for this one set, is never written as a model, and belongs to
the purifier as the ranks of Filt do.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unpoison.core.errors import RunError
from unpoison.nets.disentangling import DisentanglingVae, Split
from unpoison.purifiers.settings import DVaeSettings

_FREE_SHARE = 11 / 60  # of the epochs, in which the perturbation may grow as it likes
# Called after each batch with the share of all batches that is done, and its loss.
OnBatch = Callable[[float, float], None]


@torch.inference_mode(False)  # weights that are made in inference mode let no gradient through
@torch.enable_grad()
def learn(
    images: Tensor,
    labels: Tensor,
    settings: DVaeSettings,
    *,
    classes: int,
    free_rate: float,
    generator: torch.Generator,
    on_batch: OnBatch | None = None,
) -> DisentanglingVae:
    """Train a network on poisoned pictures.

    Each picture is rebuilt twice, from a description that may be `free_rate` nats long at each position for nothing,
    once without and once with the perturbation:
        loss = |picture - x|^2 + |clip(picture + perturbation) - x|^2 + rate_weight max(rate, free_rate)
    and from a share of the epochs on, so that the perturbation stays small,
        loss + max(|perturbation|^2, floor)
    What the short description leaves out is what is hard to say and alike in a class: the perturbation.

    The learning rate falls with a cosine batch by batch, where the reference lowers it after every epoch.

    Args:
        images: [N, 3, H, W] uint8, on the device where to compute.
        labels: [N] int64, there too.
        settings: of the method.
        classes: number of classes.
        free_rate: of this stage, in nats per position.
        generator: on the CPU; of weights, order and noise.
        on_batch: called after each batch.

    Returns:
        The network in evaluation mode, without gradients.

    Raises:
        RunError: the loss left the finite numbers.
    """
    device, count, batch_size = images.device, len(images), settings.batch_size
    seeds = torch.randint(2**62, (2,), generator=generator).tolist()
    with torch.random.fork_rng(devices=[]):  # layers draw their weights from torch's own generator and no other
        torch.default_generator.manual_seed(seeds[0])
        height, width = images.shape[2:]
        net = DisentanglingVae(classes=classes, height=height, width_pixels=width, width=settings.width)
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch lists no such form
    draws = torch.Generator(device).manual_seed(seeds[1])
    batches = max(1, count // batch_size)  # as in the reference, what is left over waits for the next epoch
    steps, free_steps = settings.epochs * batches, round(_FREE_SHARE * settings.epochs) * batches
    optimiser = torch.optim.Adam(net.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for step in range(steps):
        if step % batches == 0:
            order = torch.randperm(count, generator=generator).to(device)
        rows = order[batch_size * (step % batches) :][:batch_size]
        x = images[rows].float().div(255)
        split = net(x, labels[rows], torch.randn(len(x), *net.grid, generator=draws, device=device))
        loss = rebuilding_loss(split, x, free_rate=free_rate, rate_weight=settings.rate_weight)
        if step >= free_steps:
            loss = loss + split.perturbation.square().mean().clamp_min(settings.perturbation_floor)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), settings.grad_clip)
        optimiser.step()
        schedule.step()
        if not math.isfinite(loss.item()):
            raise RunError(f"d-vae diverged after {step} batches; lower learning_rate={settings.learning_rate}")
        if on_batch:
            on_batch((step + 1) / steps, loss.item())
    return net.eval().requires_grad_(False)


def rebuilding_loss(split: Split, x: Tensor, *, free_rate: float, rate_weight: float) -> Tensor:
    """How badly pictures are rebuilt without and with the perturbation, and what their description costs."""
    with_perturbation = (split.picture + split.perturbation).clamp(0, 1)
    errors = F.mse_loss(split.picture, x) + F.mse_loss(with_perturbation, x)
    return errors + rate_weight * split.rate.clamp_min(free_rate)
