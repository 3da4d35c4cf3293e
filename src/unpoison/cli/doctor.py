"""`unpoison doctor`."""

from __future__ import annotations

import importlib.util
import os
import shutil

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


@click.command()
@options.together(options.device, options.threads, options.as_json)
def doctor(device: str, as_json: bool) -> None:
    """Say what this machine has, what is missing and how to get it, and purify a few digits as a test."""
    import torch

    from unpoison import purify
    from unpoison.core.device import choose_device, describe_device, versions
    from unpoison.core.precision import choose_precision
    from unpoison.data import read

    chosen = choose_device(device)
    chosen_precision = choose_precision(chosen)
    missing = [extra for extra, (module, _) in _EXTRAS.items() if importlib.util.find_spec(module) is None]
    digits = read("digits#test[:8]")
    changed = float((purify(digits, "jpeg", device=device).array() != digits.array()).mean())
    facts = {
        **versions(),
        "device": describe_device(chosen),
        "precision": f"{chosen_precision.precision}: {chosen_precision.reason}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "free_disk_gb": round(shutil.disk_usage(".").free / 1e9, 1),
        "missing_extras": missing,
        "self_test": "passed" if 0 < changed < 1 else "failed",
    }
    lines = [f"{name:15} {value}" for name, value in facts.items() if name != "missing_extras"]
    for extra, (_, purpose) in _EXTRAS.items():
        state = f"missing: pip install 'unpoison[{extra}]'" if extra in missing else "there"
        lines.append(f"extra {extra:9} {state} ({purpose})")
    options.answer(as_json, "\n".join(lines), facts)
    if facts["self_test"] == "failed":
        raise click.exceptions.Exit(1)
