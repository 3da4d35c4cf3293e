"""What `auto` stood for is written down, and a run keeps it on whatever processor it goes on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unpoison
from unpoison.core.errors import ModelError, RunError, SettingsError
from unpoison.core.manifest import read_manifest
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to

NATIVE, EMULATED = {"avx512_bf16": True}, {"avx2": True}


def run_of(model, precision: str = "auto") -> PurifyRun:
    overrides = {"model": str(model), "t": 2, "precision": precision}
    return PurifyRun(purifier_settings("eclipse", overrides=overrides), microbatch=8)


def begin(image_set, target, run: PurifyRun) -> None:
    """Purify the first block, and stop."""

    def stop(info) -> None:
        if info.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purify_to(image_set, target, run, on_step=stop)


@pytest.mark.parametrize(("capabilities", "precision"), [(NATIVE, "bf16"), (EMULATED, "fp32")])
def test_records_hold_what_was_used(processor, make_set, tiny_model, tmp_path, capabilities, precision):
    processor(capabilities)
    image_set = make_set(9)
    purify_to(image_set, tmp_path / "x.npz", run_of(tiny_model))
    step = read_manifest(tmp_path / "x.npz.manifest.json").steps[-1]
    assert step.settings["eclipse"]["precision"] == precision
    asked, used = purify_in_memory(image_set, run_of(tiny_model, precision))
    assert (used.result, used.settings) == (step.result, step.settings)
    assert asked.content_hash == step.result


def test_a_run_in_fp32_goes_on_where_bf16_would_be_faster(processor, make_set, tiny_model, tmp_path):
    image_set, target = make_set(600, side=4), tmp_path / "x.npz"
    processor(EMULATED)
    begin(image_set, target, run_of(tiny_model))
    processor(NATIVE)
    manifest = purify_to(image_set, target, run_of(tiny_model)).manifest
    assert manifest.steps[-1].settings["eclipse"]["precision"] == "fp32"
    assert manifest.steps[-1].result == purify_in_memory(image_set, run_of(tiny_model, "fp32"))[1].result


@pytest.mark.parametrize("asked", ["auto", "bf16"])
def test_a_run_in_bf16_is_not_mixed_with_emulated_bf16(processor, make_set, tiny_model, tmp_path, asked):
    image_set, target = make_set(600, side=4), tmp_path / "x.npz"
    processor(NATIVE)
    begin(image_set, target, run_of(tiny_model))
    processor(EMULATED)
    with pytest.raises(RunError, match=r"began with processor .* with bf16; with .* other bytes would come out"):
        purify_to(image_set, target, run_of(tiny_model, asked))


def test_another_precision_than_it_began_with_is_refused(processor, make_set, tiny_model, tmp_path):
    processor(NATIVE)
    begin(make_set(600, side=4), tmp_path / "x.npz", run_of(tiny_model))
    with pytest.raises(RunError, match="settings"):
        purify_to(make_set(600, side=4), tmp_path / "x.npz", run_of(tiny_model, "fp32"))


def test_a_run_in_whole_numbers_goes_on_on_another_kind_of_processor(make_set, tmp_path, monkeypatch):
    settings = purifier_settings("fast", overrides={"precision": "int8"})
    image_set, target, run = make_set(300, side=8), tmp_path / "x.npz", PurifyRun(settings)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    begin(image_set, target, run)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    step = purify_to(image_set, target, run).manifest.steps[-1]
    assert step.settings["fast"]["precision"] == "int8"
    assert step.result == purify_in_memory(image_set, PurifyRun(settings, microbatch=64))[1].result

    begin(image_set, tmp_path / "y.npz", run)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    with pytest.raises(RunError, match="other bytes would come out"):
        purify_to(image_set, tmp_path / "y.npz", run)


def test_whole_numbers_are_for_pocket_alone(tiny_model):
    with pytest.raises(ModelError, match=r"int8 is for denoisers of the architecture pocket; use --precision fp32"):
        unpoison.purify(np.zeros((1, 8, 8, 3), np.uint8), model=tiny_model, precision="int8")
    with pytest.raises(SettingsError, match="precision"):
        purifier_settings("eclipse", overrides={"precision": "int8"})
