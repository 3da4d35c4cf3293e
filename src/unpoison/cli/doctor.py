"""`unpoison doctor`."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from unpoison.cli import options

_EXTRAS = {
    "parquet": ("pyarrow", "reads and writes parquet"),
    "diffusers": ("diffusers", "the networks of the papers"),
    "plots": ("matplotlib", "draws loss curves and denoised images"),
    "hub": ("huggingface_hub", "reads hf:// sources"),
    "datasets": ("datasets", "purifies a Dataset of Hugging Face"),
    "ray": ("ray", "purifies on the workers of a cluster"),
}


_LITTLE_DISK_GB, _LITTLE_MEMORY_GB = 2.0, 2.0
_TERMS = "The weights that come with unpoison are for research and teaching; NOTICE says why."
_CPU_TORCH = "pip install torch --index-url https://download.pytorch.org/whl/cpu"


@click.command(epilog=options.examples("unpoison doctor", "unpoison doctor --device cuda"))
@options.together(options.device, options.threads, options.as_json)
def doctor(device: str, as_json: bool) -> None:
    """Say what this machine has, what is slow or missing and how to mend it, and purify a few digits as a test."""
    from unpoison.core.errors import RunError
    from unpoison.core.progress import telling
    from unpoison.core.threads import available_cores, free_cores

    free = free_cores()  # before anything is computed here
    with telling("loading torch"):
        try:
            import torch
        except (ImportError, OSError) as error:
            raise RunError(f"torch cannot be loaded ({error}); install it anew: {_CPU_TORCH}") from None

        from unpoison import purify
        from unpoison.core.device import choose_device, describe_device, versions
        from unpoison.core.precision import choose_precision, resolve
        from unpoison.data import read
        from unpoison.purifiers.settings import purifier_settings

        chosen = choose_device(device)
        precision = choose_precision(chosen)
        digits = read("digits#test[:8]")
        changed = float((purify(digits, "jpeg", device=device).array() != digits.array()).mean())
    facts: dict[str, Any] = {
        **versions(),
        "device": describe_device(chosen),
        "precision": f"{precision.precision}: {precision.reason}",
        "precision of fast": resolve(purifier_settings("fast")["fast"], chosen).model_dump()["precision"],
        "cores": available_cores(),
        "free_cores": free,
        "threads": torch.get_num_threads(),
        "free_memory_gb": _free_memory_gb(),
        "free_disk_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "missing_extras": [name for name, (module, _) in _EXTRAS.items() if importlib.util.find_spec(module) is None],
        "self_test": "passed" if 0 < changed < 1 else "failed",
    }
    has_driver = chosen.type == "cpu" and device == "auto" and shutil.which("nvidia-smi") is not None
    facts["advice"] = advise(facts, has_driver=has_driver)
    facts["terms"] = _TERMS
    lines = [f"{name:17} {value}" for name, value in facts.items() if name not in ("missing_extras", "advice", "terms")]
    for extra, (_, purpose) in _EXTRAS.items():
        lines.append(f"extra {extra:11} {'missing' if extra in facts['missing_extras'] else 'there'} ({purpose})")
    lines += ["", *(facts["advice"] or ["Nothing is missing."]), _TERMS]
    options.answer(as_json, "\n".join(lines), facts)
    if facts["self_test"] == "failed":
        raise click.exceptions.Exit(1)


def advise(facts: Mapping[str, Any], *, has_driver: bool) -> list[str]:
    """What is slow or missing on a machine, a line each, with what mends it.

    Args:
        facts: what `doctor` has found.
        has_driver: whether it computes on the CPU although there is a driver of NVIDIA's.
    """
    lines = []
    if facts["self_test"] == "failed":
        lines.append("The test failed; install anew: pip install --force-reinstall unpoison")
    if has_driver:
        lines.append(
            "There is an NVIDIA driver, but torch sees no GPU; choose a build: https://pytorch.org/get-started"
        )
    if facts["free_cores"] < facts["cores"]:
        lines.append(
            f"Only {facts['free_cores']} of {facts['cores']} cores are free, so everything takes longer; "
            "end what else computes, or wait"
        )
    memory = facts["free_memory_gb"]
    if memory is not None and memory < _LITTLE_MEMORY_GB:
        lines.append(
            f"Only {memory} GB of memory are free, and large pictures want {_LITTLE_MEMORY_GB:g}; end a program"
        )
    if facts["free_disk_gb"] < _LITTLE_DISK_GB:
        lines.append(f"Only {facts['free_disk_gb']} GB of disk are free here; give a DST on another disk")
    if missing := facts["missing_extras"]:
        what = ", ".join(_EXTRAS[name][1] for name in missing)
        lines.append(f"Missing: what {what}. Install it if you need it: pip install 'unpoison[{','.join(missing)}]'")
    return lines


def _free_memory_gb() -> float | None:
    """Memory that programs can still have; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return round(found[0] / 1e6, 1) if found else None
