"""What is fixed for a suite stands for `auto`; what a method was told to compute in, it computes in."""

from __future__ import annotations

from unpoison.bench.arithmetic import Arithmetic
from unpoison.classify.settings import scratch_settings
from unpoison.purifiers.settings import purifier_settings


def fast(**fields):
    return purifier_settings("fast", overrides=fields)["fast"]


def test_fixed_before_all_that_auto_may_be(processor):
    processor({"avx512_bf16": True})
    fixed = Arithmetic("cpu", fixed="fp32")
    assert fixed.precision == "fp32"
    assert fixed.settle(scratch_settings()).precision == "fp32"
    assert fixed.settle(fast()).precision == "fp32"
    assert fixed.settle(fast(precision="int8")).precision == "int8"
    assert Arithmetic("cpu", asked="bf16", fixed="fp32").settle(fast()).precision == "bf16"


def test_without_it_the_device_decides(processor):
    processor({"avx512_bf16": True})
    assert Arithmetic("cpu").settle(scratch_settings()).precision == "bf16"
    assert Arithmetic("cpu").settle(fast()).precision == "int8"
