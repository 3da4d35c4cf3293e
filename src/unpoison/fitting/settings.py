"""Settings of fits."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from unpoison.core.settings import Bound, FileName, Precision, Settings, bound_value

Family = Literal[
    "grids", "checks", "gratings", "fields", "blocks", "textures", "pixels", "kernels", "tints", "gradients"
]


class OptimiserSettings(Settings):
    """What every fit has, whatever the network learns.

    Args:
        architecture: name in `nets.methods`.
        arguments: keyword arguments of the architecture.
        start: weights to begin with, a model that comes with unpoison or a file; random ones if left out.
        dropout: share of activations dropped in training, for architectures that take it.
        iterations: steps.
        batch_size: images a step, over all devices together.
        learning_rate: of AdamW.
        decay: learning rate over time, after the warm-up: `constant`, or `cosine` down to 0.
        warmup: steps over which the learning rate rises.
        weight_decay: of AdamW.
        grad_clip: largest norm of the gradient; 0 for none.
        ema_decay: of the moving average of weights, which is what is saved.
        ema_warmup: start the average with a short memory.
        precision: of the network: `fp32`, `bf16`, or `auto` for the faster one of the device; weights and losses are
            always fp32.
        stored: precision of the weights in the file.
        flip: mirror half of the images.
        checkpoint_every: steps from one checkpoint to the next; 0 for none.
        plots: draw loss curve and denoised images beside the output, if matplotlib is there.
    """

    architecture: str = "compact"
    arguments: dict[str, Any] = Field(default={})
    start: FileName = ""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    iterations: int = Field(default=4500, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    decay: Literal["constant", "cosine"] = "cosine"
    warmup: int = Field(default=200, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    grad_clip: float = Field(default=1.0, ge=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    ema_warmup: bool = True
    precision: Precision = "auto"
    stored: Literal["fp32", "bf16"] = "fp32"
    flip: bool = True
    checkpoint_every: int = Field(default=1000, ge=0)
    plots: bool = True


class FitSettings(OptimiserSettings):
    """How a diffusion model over the indices of a schedule is fitted. The defaults are those of the profile `compact`.

    Args:
        schedule: noise schedule.
        schedule_steps: T, indices of the schedule.
        train_to: largest index that is trained; purify below it. The last of the schedule if left out.
        loss: `epsilon` or `hybrid`, which also teaches the variance of the ancestral sampler.
        oversampling: M of ECLIPSE: an epoch is M + 1 passes over the set, shuffled as one. No file is copied.
        shift: move images by up to so many pixels each way.
    """

    schedule: Literal["cosine", "linear"] = "cosine"
    schedule_steps: int = Field(default=4000, ge=2, le=100_000)
    train_to: int | None = Field(default=149, ge=0)
    loss: Literal["epsilon", "hybrid"] = "hybrid"
    oversampling: int = Field(default=4, ge=0)
    shift: int = Field(default=4, ge=0)

    @model_validator(mode="after")
    def _check_train_to(self) -> FitSettings:
        if self.train_to is not None and self.train_to >= self.schedule_steps:
            raise ValueError(f"train_to={self.train_to} is beyond the schedule, 0 to {self.schedule_steps - 1}")
        return self

    @property
    def max_index(self) -> int:
        """The largest index that is trained."""
        return self.schedule_steps - 1 if self.train_to is None else self.train_to


class DenoiserSettings(OptimiserSettings):
    """How a denoiser over sigma is fitted. The defaults are those of the profile `pocket`.

    Args:
        sigma_min: smallest white noise, in [0, 1] pixel units; levels are drawn evenly in log sigma.
        sigma_max: largest.
        field_min: smallest rms of a smooth field, where there is one; also even in the logarithm.
        field_max: largest.
        field_share: share of the images that get a smooth field besides the white noise.
        patches: side of the patches of a step, in pixels; steps go through the list. Batches keep their pixels: those
            of patches larger than the first have fewer.
        zoom: patches are cut from squares of this share of their own side, up to the whole picture, and resized.
        families: kinds of perturbation that it learns to remove, under the noise: `grids`, `checks`, `gratings`,
            `fields`, `blocks`, `textures`, `pixels`, `kernels`, `tints`, `gradients`; one that stands there twice is
            drawn twice as often.
            Patches then come in pairs with the same noise, one perturbed and one not.
        pull: weight of what is left of a perturbation, the difference within a pair, beside that of the error.
        bound_min: smallest bound of a perturbation, on its values; drawn evenly in the logarithm.
        bound_max: largest.
        counted: what a perturbation counts for as noise, so that what the network gives can reach it.
        victims: small networks that are trained at the start, for the perturbations of `gradients`.
    """

    architecture: str = "pocket"
    sigma_min: Bound = "2/255"
    sigma_max: Bound = "100/255"
    field_min: Bound = "4/255"
    field_max: Bound = "64/255"
    field_share: float = Field(default=0.5, ge=0, le=1)
    patches: tuple[int, ...] = Field(default=(32, 32, 32, 64), min_length=1)
    zoom: float = Field(default=0.6, gt=0, le=1)
    families: tuple[Family, ...] = ()
    pull: float = Field(default=2.0, ge=0)
    bound_min: Bound = "4/255"
    bound_max: Bound = "16/255"
    counted: Bound = "10/255"
    victims: int = Field(default=12, ge=0)
    iterations: int = Field(default=6000, ge=1)
    checkpoint_every: int = Field(default=500, ge=0)
    stored: Literal["fp32", "bf16"] = "bf16"

    @model_validator(mode="after")
    def _check_ranges(self) -> DenoiserSettings:
        ranges = (
            (self.sigma_min, self.sigma_max),
            (self.field_min, self.field_max),
            (self.bound_min, self.bound_max),
        )
        for low, high in ranges:
            if not 0 < bound_value(low) <= bound_value(high):
                raise ValueError(f"from {low} to {high} is no range of positive levels")
        if any(side < 4 or side % 4 or self.batch_size * self.patches[0] ** 2 < side**2 for side in self.patches):
            raise ValueError("patches must be multiples of 4, and no larger than all pixels of a batch")
        return self


class EnergySettings(OptimiserSettings):
    """How an energy model is fitted by persistent contrastive divergence. The defaults are those of the profile `ebm`.

    Data noise, step size and temperature are in units of images in [-1, 1]. With `weight_decay` 0, AdamW is Adam; with
    `ema_decay` 0, the last weights are saved.

    Args:
        milestones: shares of the run after which the learning rate falls by 10, each time.
        shift: move images by up to so many pixels each way.
        data_noise: standard deviation of the noise on the images it learns from.
        temperature: tau.
        langevin_steps: of each chain, each update.
        step_size: epsilon of the Langevin steps.
        bank_size: chains that go on from update to update.
        rejuvenation: chance of a chain to start again at an image of the data when its turn comes.
        alarm_factor: energy gap or gradient norm is out of bounds beyond so many times its running median...
        alarm_steps: ... and the fit is taken to diverge if it stays there for so many updates.
        alarm_window: updates of the running median.
        snapshot_every: updates from one state to return to, to the next.
        max_rollbacks: returns, each with half the learning rate, after which the fit gives up.
    """

    architecture: Literal["sngan-energy", "conv-energy"] = "sngan-energy"
    iterations: int = Field(default=65_520, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    decay: Literal["constant", "cosine"] = "constant"
    milestones: tuple[float, ...] = (40 / 120, 75 / 120, 100 / 120)
    warmup: int = Field(default=0, ge=0)
    grad_clip: float = Field(default=0.0, ge=0)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    ema_warmup: bool = False
    flip: bool = False
    shift: int = Field(default=0, ge=0)
    data_noise: float = Field(default=0.015, ge=0)
    temperature: float = Field(default=1e-4, gt=0)
    langevin_steps: int = Field(default=100, ge=1)
    step_size: float = Field(default=0.0125, gt=0)
    bank_size: int = Field(default=10_000, ge=1)
    rejuvenation: float = Field(default=0.05, ge=0, le=1)
    alarm_factor: float = Field(default=20.0, gt=1)
    alarm_steps: int = Field(default=5, ge=1)
    alarm_window: int = Field(default=100, ge=1)
    snapshot_every: int = Field(default=250, ge=1)
    max_rollbacks: int = Field(default=5, ge=0)

    @model_validator(mode="after")
    def _check_sizes(self) -> EnergySettings:
        if self.batch_size > self.bank_size:
            raise ValueError(f"batch_size={self.batch_size} chains cannot be drawn from bank_size={self.bank_size}")
        if not all(0 < share < 1 for share in self.milestones):
            raise ValueError("milestones are shares of the run, between 0 and 1")
        return self
