"""Networks that predict the noise, seen as a DiscreteModel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unpoison.core.errors import ModelError
from unpoison.nets.schedules import Schedule, abar_at


class EpsilonModel(nn.Module):
    """A noise-predicting network with the schedule it was trained with. Satisfies `DiscreteModel`.

    Args:
        net: maps z [N, C, H, W] and time [N] float32 to [N, 2C, H, W]: first the noise, then v; or to [N, C, H, W]
            without learned variance.
        schedule: the schedule it was trained with.
        time_scale: factor from index to the network's time input.
        max_index: largest index it was trained for; the last of the schedule if left out.
        learned_variance: whether the network gives v.
        largest_variance: without learned variance, walk back with the largest one, beta, as some published models do,
            and not with the smallest.
        autocast_dtype: run the network, and only the network, in this precision, e.g. torch.bfloat16.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        schedule: Schedule,
        time_scale: float = 1.0,
        max_index: int | None = None,
        learned_variance: bool = True,
        largest_variance: bool = False,
        autocast_dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.net = net
        self.schedule = schedule
        self.abar = schedule.abar()  # no buffer: moving or casting the module must not touch it
        self.time_scale = time_scale
        self.max_index = schedule.steps - 1 if max_index is None else max_index
        self.learned_variance = learned_variance
        self.largest_variance = largest_variance
        self.autocast_dtype = autocast_dtype
        if not 0 <= self.max_index < schedule.steps:
            raise ModelError(f"max_index {self.max_index} is outside the schedule, 0 to {schedule.steps - 1}")

    @property
    def reach(self) -> int | None:
        """How many pixels away a pixel still matters to the result; None if the network does not say."""
        return getattr(self.net, "reach", None)

    def predict(self, z: Tensor, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Estimate the clean image: x0 = (z - sqrt(1 - abar) epsilon) / sqrt(abar).

        An index on the CPU saves waiting for the device.

        Args:
            z: [N, C, H, W] float32, noisy image in the scaling of [-1, 1] data.
            index: [N] index of each image's noise level, from 0 to `max_index`; fractions lie between two levels.

        Returns:
            x0, [N, C, H, W] float32 in [-1, 1] units, not clamped; and v of the same shape, or None.

        Raises:
            ModelError: an index beyond `max_index`, or a network that gives the wrong channels.
        """
        index = index.detach().double().cpu()
        outside = index[~((index >= 0) & (index <= self.max_index))]
        if len(outside):
            raise ModelError(
                f"index {outside[0].item():g} is outside what the model was trained for, 0 to {self.max_index}"
            )
        epsilon, v = self._call(z, (index * self.time_scale).to(z.device, torch.float32))
        abar = abar_at(self.abar, index)
        image, noise = (
            part.to(z.device, torch.float32).view(-1, 1, 1, 1) for part in (abar.rsqrt(), ((1 - abar) / abar).sqrt())
        )
        return image * z - noise * epsilon, v

    def _call(self, z: Tensor, time: Tensor) -> tuple[Tensor, Tensor | None]:
        with torch.autocast(z.device.type, dtype=self.autocast_dtype, enabled=self.autocast_dtype is not None):
            out = self.net(z, time)
        channels = z.shape[1] * (2 if self.learned_variance else 1)
        if out.shape[1] != channels:
            raise ModelError(f"the network gives {out.shape[1]} channels for {z.shape[1]}, {channels} were expected")
        if not self.learned_variance:
            return out.float(), torch.ones_like(z) if self.largest_variance else None  # v is 1 at beta
        epsilon, v = out.float().chunk(2, dim=1)
        return epsilon, v
