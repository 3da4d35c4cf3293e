from __future__ import annotations

import pytest
import torch

from unpoison.core.errors import ModelError
from unpoison.nets.denoiser import as_denoiser
from unpoison.nets.pipelines import PipelineModel
from unpoison.nets.protocols import DiscreteModel

diffusers = pytest.importorskip("diffusers")


def make_pipeline(channels=3, **schedule):
    """A pipeline as `DDPMPipeline.from_pretrained` gives it, tiny and random."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet = diffusers.UNet2DModel(
            sample_size=16,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
        ).eval()
    return diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(**schedule))


@torch.no_grad()
def test_it_predicts_what_the_scheduler_does():
    pipeline = make_pipeline(num_train_timesteps=50, clip_sample=False)
    model = PipelineModel(pipeline)
    assert isinstance(model, DiscreteModel)
    assert (len(model.abar), model.max_index) == (50, 49)
    z = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for index in (0, 7, 49):
        x0, v = model.predict(z, torch.full((2,), index))
        step = pipeline.scheduler.step(pipeline.unet(z, index).sample, index, z)
        assert v is None
        assert torch.allclose(x0, step.pred_original_sample, atol=1e-4)


@torch.no_grad()
def test_it_becomes_a_denoiser():
    denoiser = as_denoiser(PipelineModel(make_pipeline()))
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    clean = denoiser.denoise(x, torch.full((2,), 20 / 255))
    assert clean.shape == x.shape
    assert torch.isfinite(clean).all()


def test_other_pipelines_are_refused():
    with pytest.raises(ModelError, match="predicts 'v_prediction'"):
        PipelineModel(make_pipeline(prediction_type="v_prediction"))
    with pytest.raises(ModelError, match="4 to 4 channels; it must work on pixels"):
        PipelineModel(make_pipeline(channels=4))
