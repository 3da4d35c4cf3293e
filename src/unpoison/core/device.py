"""Devices: which one computes, what a record says of it, and arithmetic that is the same every time."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import torch

from unpoison import __version__
from unpoison.core.errors import SettingsError
from unpoison.core.precision import native_bf16


def choose_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU; any other name is taken as torch's.

    Raises:
        SettingsError: the device is unknown or not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise SettingsError(f"device '{name}' is not available here; use --device auto or --device cpu") from None
    return device


def describe_device(device: torch.device) -> str:
    """The device in words, e.g. `NVIDIA H100 80GB HBM3` or `cpu (AMD EPYC, AVX512, 2 threads)`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return (
        f"{device.type} ({_processor()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads)"
    )


def processor(device: torch.device, precision: str = "fp32") -> str:
    """The kind of processor, as far as it decides the last bits: `x86_64 AVX512`, or the name of a GPU.

    Args:
        device: where it computes.
        precision: in which; to bf16 it matters whether it is native, and to int8 little matters at all.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    instructions = torch.backends.cpu.get_cpu_capability()
    if precision == "int8" and instructions in ("AVX2", "AVX512"):  # without AVX2, torch draws other noise
        return f"{platform.machine()} from AVX2 on"
    native = " with bf16" if precision == "bf16" and native_bf16() else ""
    return f"{platform.machine()} {instructions}{native}"


def versions() -> dict[str, str]:
    """Versions that decide the bytes of a result."""
    packages = {name: metadata.version(name) for name in ("torch", "numpy", "pillow")}
    return {"unpoison": __version__, "python": platform.python_version(), **packages}


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


@contextmanager
def same_bits(device: torch.device) -> Iterator[None]:
    """Keep torch from choosing arithmetic by what happens to be free or fast.

    On the CPU it uses one core for each call, as long as several threads call it: a sum that is spread over more cores
    is added in another order, and its last bits differ. This way the bytes do not depend on how many cores there are,
    nor does a call wait for a core that another process has taken. On CUDA, convolutions are the same every time, and
    fp32 means fp32.
    """
    if device.type == "cuda":
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
        return
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
