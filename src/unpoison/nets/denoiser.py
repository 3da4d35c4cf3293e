"""The Denoiser view: one call removes Gaussian noise of a given strength from [0, 1] images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from unpoison.core.errors import ModelError
from unpoison.nets.protocols import Denoiser, DiscreteModel
from unpoison.nets.schedules import abar_to_sigma, index_at, sigma_to_abar

_SLACK = 1e-6  # sigma arrives in float32: its own bounds must not be refused for their last bit


@dataclass
class CallableDenoiser:
    """A user's own denoiser.

    Args:
        function: maps x [N, C, H, W] in [0, 1] plus noise, and sigma [N], to the clean image; an nn.Module will do.
        sigma_min: smallest noise it is good for, in [0, 1] pixel units.
        sigma_max: largest.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    sigma_min: float
    sigma_max: float

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        check_sigma(sigma, self.sigma_min, self.sigma_max)
        clean = self.function(x.clone(), sigma)  # a copy, which it may change
        if not isinstance(clean, Tensor):
            raise ModelError(f"the model gives a {type(clean).__name__}; it must give the clean pictures as a tensor")
        if clean.shape != x.shape or not clean.is_floating_point():
            raise ModelError(
                f"the model makes {clean.dtype} {list(clean.shape)} of pictures {list(x.shape)}; it must give clean "
                "pictures of the same shape, as floats in [0, 1]"
            )
        return clean.to(x)


class DiscreteDenoiser:
    """A DiscreteModel as a Denoiser, as made by `as_denoiser`; `reach` is that of its network, if it says.

    Args:
        model: any discrete model.
    """

    def __init__(self, model: DiscreteModel):
        self.model = model
        self.sigma_min = abar_to_sigma(float(model.abar[0]))
        self.sigma_max = abar_to_sigma(float(model.abar[model.max_index]))
        self.reach = getattr(model, "reach", None)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        check_sigma(sigma, self.sigma_min, self.sigma_max)
        abar = sigma_to_abar(sigma.detach().double().cpu())
        index = index_at(self.model.abar[: self.model.max_index + 1], abar)
        scale = abar.sqrt().to(x.device, x.dtype).view(-1, 1, 1, 1)
        x0, _ = self.model.predict(scale * (2 * x - 1), index)
        return (x0 + 1) / 2


def as_denoiser(model: DiscreteModel | Denoiser) -> Denoiser:
    """See any model as a denoiser over sigma: a denoiser is one already, indices of a schedule become noise levels.

    The network receives sqrt(abar) (2x - 1) at abar = 1 / (1 + 4 sigma^2); the index is found between the levels of
    the schedule, linear in log SNR.

    Args:
        model: a denoiser, or a discrete model.

    Returns:
        A denoiser; of a discrete model, from the sigma of index 0 to that of `max_index`.
    """
    return DiscreteDenoiser(model) if isinstance(model, DiscreteModel) else model


def check_sigma(sigma: Tensor, low: float, high: float) -> None:
    """Refuse noise, [N] sigmas, that a model was not trained for.

    Raises:
        ModelError: an entry of sigma lies outside `low` to `high`.
    """
    least, most = (float(end) for end in sigma.detach().aminmax())
    if not (low * (1 - _SLACK) <= least and most <= high * (1 + _SLACK)):
        wrong = most if most > high else least
        raise ModelError(
            f"noise of sigma*255 = {255 * wrong:.4g} is outside what the model was trained for, "
            f"{255 * low:.4g} to {255 * high:.4g}"
        )
