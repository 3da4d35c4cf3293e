"""`auto` is bf16 where it is native and pays, and fp32 everywhere else."""

from __future__ import annotations

import pytest
import torch

from unpoison.classify.settings import TrainSettings
from unpoison.core.precision import choose_precision, network_dtype, resolve
from unpoison.core.settings import Settings, with_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_native_bf16_is_taken(processor, name):
    processor({"avx2": True, name: True})
    assert choose_precision(CPU).precision == "bf16"
    assert name in choose_precision(CPU).reason
    assert network_dtype("auto", CPU) == torch.bfloat16


@pytest.mark.parametrize("others", [{"avx2": True}, {"avx512_f": True, "avx512_bw": True, "avx512_vnni": True}, {}])
def test_emulated_bf16_is_never_a_default(processor, others):
    processor({**others, "avx512_bf16": False}, bf16_seconds=0.1)
    assert choose_precision(CPU).precision == "fp32"
    assert network_dtype("auto", CPU) is None
    assert resolve(TrainSettings(), CPU).precision == "fp32"


def test_builds_of_torch_that_cannot_tell_get_fp32(processor, monkeypatch):
    processor({"avx512_bf16": True})
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert choose_precision(CPU).precision == "fp32"


def test_native_bf16_that_is_slow_all_the_same_is_left_alone(processor):
    processor({"avx512_bf16": True}, bf16_seconds=4.0)
    assert choose_precision(CPU).precision == "fp32"
    assert "4.0 times" in choose_precision(CPU).reason


def test_work_goes_on_in_the_precision_it_was_begun_in(processor):
    processor({"avx2": True})
    assert resolve(TrainSettings(), CPU, "bf16").precision == "bf16"
    assert resolve(TrainSettings(precision="fp32"), CPU, "bf16").precision == "fp32"
    assert resolve(TrainSettings(), CPU, "fp8").precision == "fp32"


def test_only_auto_is_replaced_and_the_input_stays(processor):
    processor({"avx512_bf16": True})
    settings = TrainSettings()
    assert resolve(settings, CPU).precision == "bf16"
    assert settings.precision == "auto"
    assert resolve(TrainSettings(precision="fp32"), CPU).precision == "fp32"
    assert resolve(Settings(), CPU) == Settings()


def test_bf16_where_it_is_emulated_is_warned_of_once(processor, caplog):
    processor({"avx2": True})
    for _ in range(2):
        assert resolve(TrainSettings(precision="bf16"), CPU).precision == "bf16"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--precision fp32" in caplog.text
    processor({"avx512_bf16": True})
    caplog.clear()
    resolve(TrainSettings(precision="bf16"), CPU)
    assert not caplog.records


def test_what_was_asked_for_wins_over_a_profile():
    assert with_precision(TrainSettings(precision="fp32"), "bf16").precision == "bf16"
    assert with_precision(TrainSettings(precision="fp32"), "auto").precision == "auto"
    assert with_precision(TrainSettings(precision="fp32"), None).precision == "fp32"
    assert with_precision(Settings(), "bf16") == Settings()
