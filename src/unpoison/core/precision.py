"""Precision of the networks: `auto` is bf16 where the processor computes it natively, else fp32."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from unpoison.core.settings import PrecisionOrInt8, Settings

log = logging.getLogger(__name__)

Resolved = Literal["fp32", "bf16"]

# What torch.cpu.get_capabilities() calls native bf16 arithmetic: x86, x86, ARM. AVX-512 alone has none, although
# torch.ops.mkldnn._is_mkldnn_bf16_supported() says yes there.
_NATIVE = ("avx512_bf16", "amx_bf16", "bf16")
# bf16 is taken to be in a bad way where it needs so many times the seconds of fp32: far from what a busy machine does
# to the timing, and well below the 4 to 16 times of https://github.com/pytorch/pytorch/issues/183815.
_SLOWER = 1.25

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Choice:
    """What `auto` stands for on a device.

    Args:
        precision: of the networks.
        reason: in words.
    """

    precision: Resolved
    reason: str


def choose_precision(device: torch.device) -> Choice:
    """The faster arithmetic of a device. It is found out once in a process.

    Args:
        device: where networks compute.
    """
    return _choose(device.type)


@cache
def _choose(device_type: str) -> Choice:
    if device_type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Choice("bf16", "the GPU computes bf16 natively")
        return Choice("fp32", "the GPU does not compute bf16 natively")
    if device_type != "cpu":
        return Choice("fp32", f"nothing is known of bf16 on {device_type}")
    found = native_bf16()
    if not found:
        return Choice("fp32", "the processor does not compute bf16 natively")
    slower = _time_bf16() / _time_fp32()
    if slower > _SLOWER:
        return Choice("fp32", f"the processor has {found}, but a convolution in bf16 takes {slower:.1f} times as long")
    return Choice("bf16", f"the processor has {found}")


def native_bf16() -> str:
    """Which instructions of this processor compute bf16, as torch names them; empty if none do."""
    # Not in the oldest builds of torch that we take.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return next((name for name in _NATIVE if capabilities.get(name)), "")


def _time_fp32() -> float:
    return _time_convolution(torch.float32)


def _time_bf16() -> float:
    return _time_convolution(torch.bfloat16)


@torch.inference_mode()
def _time_convolution(dtype: torch.dtype) -> float:
    """Seconds of a convolution as our networks have it; the best of three after a first one."""
    channels_last: dict[str, Any] = {"dtype": dtype, "memory_format": torch.channels_last}
    images, kernel = torch.ones(16, 64, 16, 16).to(**channels_last), torch.ones(64, 64, 3, 3).to(**channels_last)
    return min([_seconds(lambda: F.conv2d(images, kernel, padding=1)) for _ in range(4)][1:])


def _seconds(call: Callable[[], Tensor]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def resolve(settings: S, device: torch.device, begun: str | None = None) -> S:
    """Settings with the arithmetic of a device in place of `auto`, as they are written down.

    Args:
        settings: of a method; those without a precision come back as they are.
        device: where it computes.
        begun: what `auto` stood for when the work that goes on now was begun, perhaps on another machine.
    """
    precision = getattr(settings, "precision", None)
    if precision == "auto":
        precision = "int8" if settings.prefers_int8(device) else choose_precision(device).precision
        if begun in _names(settings):
            precision = begun
        settings = settings.model_copy(update={"precision": precision})
    if precision == "bf16":
        _warn_of_emulation(device.type)
    return settings


def _names(settings: Settings) -> tuple[str, ...]:
    """The precisions that settings may name."""
    return get_args(type(settings).model_fields["precision"].annotation)


def network_dtype(precision: PrecisionOrInt8, device: torch.device) -> torch.dtype | None:
    """The type that autocast is given for a precision; None if everything is float32."""
    chosen = choose_precision(device).precision if precision == "auto" else precision
    return torch.bfloat16 if chosen == "bf16" else None


def autocast(precision: PrecisionOrInt8, device: torch.device) -> torch.autocast:
    """The context in which a network computes in a precision."""
    dtype = network_dtype(precision, device)
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


@cache
def _warn_of_emulation(device_type: str) -> None:
    """Say once that bf16 was asked for where it does not pay."""
    choice = _choose(device_type)
    if choice.precision != "bf16":
        log.warning("precision bf16 is slow here: %s. --precision fp32 is faster", choice.reason)
