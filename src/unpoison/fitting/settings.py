"""Settings of a fit of a diffusion model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from unpoison.core.settings import Settings


class FitSettings(Settings):
    """How a diffusion model is fitted. The defaults are those of the profile `compact`.

    Args:
        architecture: name in `nets.methods`.
        arguments: keyword arguments of the architecture.
        dropout: share of activations dropped in training, for architectures that take it.
        schedule: noise schedule.
        schedule_steps: T, indices of the schedule.
        train_to: largest index that is trained; purify below it. The last of the schedule if left out.
        loss: `epsilon` or `hybrid`, which also teaches the variance of the ancestral sampler.
        oversampling: M of ECLIPSE: an epoch is M + 1 passes over the set, shuffled as one. No file is copied.
        iterations: steps.
        batch_size: images a step, over all devices together.
        learning_rate: of AdamW.
        decay: learning rate over time, after the warm-up: `constant`, or `cosine` down to 0.
        warmup: steps over which the learning rate rises.
        weight_decay: of AdamW.
        grad_clip: largest norm of the gradient; 0 for none.
        ema_decay: of the moving average of weights, which is what is saved.
        ema_warmup: start the average with a short memory.
        precision: of the network; weights and losses are always fp32.
        flip: mirror half of the images.
        shift: move images by up to so many pixels each way.
        checkpoint_every: steps from one checkpoint to the next; 0 for none.
        plots: draw loss curve and denoised images beside the output, if matplotlib is there.
    """

    architecture: str = "compact"
    arguments: dict[str, Any] = Field(default={})
    dropout: float = Field(default=0.0, ge=0, lt=1)
    schedule: Literal["cosine", "linear"] = "cosine"
    schedule_steps: int = Field(default=4000, ge=2, le=100_000)
    train_to: int | None = Field(default=149, ge=0)
    loss: Literal["epsilon", "hybrid"] = "hybrid"
    oversampling: int = Field(default=4, ge=0)
    iterations: int = Field(default=4500, ge=1)
    batch_size: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    decay: Literal["constant", "cosine"] = "cosine"
    warmup: int = Field(default=200, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    grad_clip: float = Field(default=1.0, ge=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    ema_warmup: bool = True
    precision: Literal["fp32", "bf16"] = "bf16"
    flip: bool = True
    shift: int = Field(default=4, ge=0)
    checkpoint_every: int = Field(default=1000, ge=0)
    plots: bool = True

    @model_validator(mode="after")
    def _check_train_to(self) -> FitSettings:
        if self.train_to is not None and self.train_to >= self.schedule_steps:
            raise ValueError(f"train_to={self.train_to} is beyond the schedule, 0 to {self.schedule_steps - 1}")
        return self

    @property
    def max_index(self) -> int:
        """The largest index that is trained."""
        return self.schedule_steps - 1 if self.train_to is None else self.train_to
