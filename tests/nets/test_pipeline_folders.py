"""Folders in the published forms, written here by diffusers itself, and bare state dicts."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unpoison.core.errors import ModelError
from unpoison.nets.noise_unets import import_puregen_unet
from unpoison.nets.pipeline_folders import import_pipeline
from unpoison.nets.pipelines import PipelineModel
from unpoison.nets.puregen_unet import build_puregen_unet
from unpoison.nets.weights import load_any, save_model

diffusers = pytest.importorskip("diffusers")


def make_unet():
    """A tiny network with attention and random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return diffusers.UNet2DModel(
            sample_size=16,
            block_out_channels=(8, 16),
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=8,
        ).eval()


@pytest.fixture
def z():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_the_form_of_puregen(tmp_path, z):
    unet = make_unet()
    folder = tmp_path / "puregen-ddpm-cifar10"
    unet.save_pretrained(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "model_index.json",
    }
    model, architecture, arguments = import_pipeline(folder)
    assert (architecture, arguments["block_out_channels"]) == ("diffusers-unet", [8, 16])
    assert (model.schedule.name, model.schedule.steps, model.max_index) == ("linear", 1000, 249)
    with pytest.raises(ModelError, match="0 to 249"):
        model.predict(z, torch.full((2,), 250))
    pipeline = diffusers.DDPMPipeline(unet, diffusers.DDPMScheduler(num_train_timesteps=1000))
    expected, _ = PipelineModel(pipeline).predict(z, torch.full((2,), 74))
    assert torch.allclose(model.predict(z, torch.full((2,), 74))[0], expected, atol=1e-5)


def test_the_name_tells_how_far_it_was_trained(tmp_path):
    make_unet().save_pretrained(tmp_path / "m")
    assert import_pipeline(tmp_path / "m", name="cinic10_DDPM[500]_nf[L]")[0].max_index == 499
    assert import_pipeline(tmp_path / "m", name="cinic10_DDPM[500]_nf[L]", max_index=99)[0].max_index == 99


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(("kind", "steps", "name"), [("linear", 1000, "linear"), ("squaredcos_cap_v2", 50, "cosine")])
@torch.no_grad()
def test_pipelines_of_others_bring_their_schedule(tmp_path, z, flat, kind, steps, name):
    pipeline = diffusers.DDPMPipeline(
        make_unet(), diffusers.DDPMScheduler(num_train_timesteps=steps, beta_schedule=kind, clip_sample=False)
    )
    if flat:  # as google/ddpm-cifar10-32 lies on the Hub
        pipeline.unet.save_pretrained(tmp_path)
        pipeline.scheduler.save_pretrained(tmp_path)
    else:
        pipeline.save_pretrained(tmp_path)
    model = import_pipeline(tmp_path)[0]
    assert (model.schedule.name, model.max_index) == (name, steps - 1)
    assert torch.allclose(model.abar.float(), pipeline.scheduler.alphas_cumprod, rtol=1e-3, atol=1e-7)
    step = pipeline.scheduler.step(pipeline.unet(z, 30).sample, 30, z)
    assert torch.allclose(model.predict(z, torch.full((2,), 30))[0], step.pred_original_sample, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_the_variance_of_their_scheduler_is_kept(tmp_path, z, variance):
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, variance_type=variance)
    diffusers.DDPMPipeline(make_unet(), scheduler).save_pretrained(tmp_path / "pipeline")
    model, architecture, arguments = import_pipeline(tmp_path / "pipeline")
    about = {"architecture": architecture, "arguments": arguments, "kind": "raw", "settings": {}}
    save_model(tmp_path / "m.safetensors", model, **about)
    _, v = load_any(tmp_path / "m.safetensors").predict(z, torch.full((2,), 30))
    assert v is None if variance == "fixed_small" else torch.equal(v, torch.ones_like(z))


@torch.no_grad()
def test_old_names_of_attention(tmp_path, z):
    make_unet().save_pretrained(tmp_path)
    expected = import_pipeline(tmp_path)[0].predict(z, torch.full((2,), 10))[0]
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q.": "query.", "to_k.": "key.", "to_v.": "value.", "to_out.0.": "proj_attn."}
    state = load_file(weights)
    renamed = {}
    for name, tensor in state.items():
        new = name
        for modern, ancient in old.items():
            new = new.replace(modern, ancient)
        renamed[new] = tensor
    assert set(renamed) != set(state)
    save_file(renamed, weights)
    assert torch.equal(import_pipeline(tmp_path)[0].predict(z, torch.full((2,), 10))[0], expected)


def test_what_does_not_fit_is_refused(tmp_path):
    make_unet().save_pretrained(tmp_path)
    scheduler = tmp_path / "scheduler_config.json"
    for config, problem in (
        ({"prediction_type": "v_prediction"}, "predicts 'v_prediction'"),
        ({"beta_schedule": "scaled_linear", "num_train_timesteps": 1000}, "'scaled_linear' of 1000 steps"),
        ({"beta_schedule": "linear", "num_train_timesteps": 1000, "beta_end": 0.0195}, "is none of ours"),
        ({"beta_schedule": "linear", "num_train_timesteps": 100}, "is none of ours"),
        ({"beta_schedule": "linear", "num_train_timesteps": 10**12, "beta_start": 1e-13, "beta_end": 2e-11}, "steps"),
    ):
        scheduler.write_text(json.dumps(config))
        with pytest.raises(ModelError, match=problem):
            import_pipeline(tmp_path)
    scheduler.unlink()
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "block_out_channels": [8, 100_000]}))
    with pytest.raises(ModelError, match="do not fit"):  # and no 100,000 channels were allocated
        import_pipeline(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "_class_name": "Transformer2DModel"}))
    with pytest.raises(ModelError, match="a Transformer2DModel"):
        import_pipeline(tmp_path)
    with pytest.raises(ModelError, match="holds none of"):
        import_pipeline(tmp_path / "empty")


def test_a_bare_state_dict_of_the_old_kind(tmp_path):
    state = build_puregen_unet(channels=32).unet.state_dict()
    path = tmp_path / "cinic10_imagenet_DDPM[250]_nf[S].pt"
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
    model = load_any(path)
    assert (model.max_index, model.learned_variance) == (249, False)
    assert torch.equal(model.net.unet.state_dict()["conv_in.weight"], state["conv_in.weight"])
    state.pop("conv_out.bias")
    with pytest.raises(ModelError, match=r"1 missing \(conv_out.bias"):
        import_puregen_unet(state)


@torch.no_grad()
def test_a_variant_in_halves_is_read_where_there_is_nothing_else(tmp_path, z):
    make_unet().save_pretrained(tmp_path)
    expected = import_pipeline(tmp_path)[0].predict(z, torch.full((2,), 10))[0]
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    halves = {name: value.half() for name, value in load_file(weights).items()}
    save_file(halves, tmp_path / "diffusion_pytorch_model.fp16.safetensors")
    assert torch.equal(import_pipeline(tmp_path)[0].predict(z, torch.full((2,), 10))[0], expected)
    weights.unlink()
    found = import_pipeline(tmp_path)[0].predict(z, torch.full((2,), 10))[0]
    assert 0 < (found - expected).abs().max() < 0.05
