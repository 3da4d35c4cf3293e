"""Pipelines of diffusers, held in memory, seen as a DiscreteModel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unpoison.core.errors import ModelError
from unpoison.nets.schedules import abar_at


class PipelineModel:
    """The network of an unconditional pixel pipeline with its schedule. Satisfies `DiscreteModel`.

    Args:
        pipeline: has a `unet` that predicts the noise of [-1, 1] images, and a `scheduler` with `alphas_cumprod`, as
            `DDPMPipeline` and `DDIMPipeline` do. Nothing of it is changed.

    Raises:
        ModelError: it predicts something else, or works on something else than RGB pixels.
    """

    time_scale = 1.0

    def __init__(self, pipeline: Any):
        self.net: nn.Module = pipeline.unet
        prediction = getattr(pipeline.scheduler.config, "prediction_type", "epsilon")
        if prediction != "epsilon":
            raise ModelError(f"the pipeline predicts '{prediction}'; only 'epsilon', the noise, is understood")
        channels = self.net.config.in_channels, self.net.config.out_channels
        if channels != (3, 3) or hasattr(pipeline, "vae"):
            raise ModelError(
                f"the pipeline maps {channels[0]} to {channels[1]} channels; it must work on pixels, 3 to 3"
            )
        self.abar: Tensor = pipeline.scheduler.alphas_cumprod.detach().double().cpu()
        self.max_index = len(self.abar) - 1

    def predict(self, z: Tensor, index: Tensor) -> tuple[Tensor, None]:
        """See `DiscreteModel.predict`: x0 = (z - sqrt(1 - abar) epsilon) / sqrt(abar)."""
        index = index.detach().double().cpu()
        epsilon = self.net(z, index.to(z.device, torch.float32)).sample.float()
        abar = abar_at(self.abar, index).view(-1, 1, 1, 1)
        image, noise = (part.to(z.device, torch.float32) for part in (abar.rsqrt(), ((1 - abar) / abar).sqrt()))
        return image * z - noise * epsilon, None
