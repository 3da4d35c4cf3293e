"""One small run of every purifier and every attack gives the bytes that are on record.

Bytes are promised for the same versions and the same kind of processor, so a machine of another kind, or with other
versions, skips this with a word. `python tests/test_same_bytes.py` adds what the machine at hand gives to the record:
for a change that means to change bytes, and for that alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from unpoison.core.device import describe_device
from unpoison.data import read, write
from unpoison.poisons.methods import METHODS as ATTACKS
from unpoison.purifiers.methods import METHODS as PURIFIERS

RECORD = Path(__file__).with_name("same_bytes.json")
FP32 = ("--precision", "fp32")
ENERGY = ("--set", "energy=ebm-small")
POCKET = ("--model", "pocket", *FP32)
DDPM = ("--model", "ddpm250-small", *FP32)
SETTINGS = {
    "fast": POCKET,
    "eclipse": ("--set", "t=20", *DDPM),
    "puregen-ebm": ("--steps", "5", "--model", "ebm-small", *FP32),
    "puregen-ddpm": ("--set", "t=5", *DDPM),
    "puregen-naive": ("--set", "langevin_steps=3", "--set", "t=3", *DDPM, *ENERGY),
    "puregen-reps": ("--set", "langevin_steps=2", "--set", "t=2", "--set", "reps=2", *DDPM, *ENERGY),
    "puregen-filt": ("--set", "langevin_steps=2", "--set", "t=3", *DDPM, *ENERGY),
    "d-vae": ("--set", "epochs=1", "--set", "width=4"),
    "avatar": ("--steps", "5", *POCKET),
    "orthogonal-projection": ("--set", "updates=20"),
    "jpeg+fast": ("--model", "pocket", "--set", "fast.precision=fp32"),
}
NARROW = "width=4 steps=2"
ATTACK_SETTINGS = {
    "adp": f"{NARROW} rounds=1 training_steps=2",
    "bullseye": "width=4 epochs=1 iterations=2 poisons=3",
    "dune": f"{NARROW} epochs=2 checkpoints=2 particles=2 iterations=1",
    "em": f"{NARROW} rounds=1 training_steps=2",
    "entf": f"{NARROW} epochs=1 reference_steps=1",
    "gradient-matching": "width=4 epochs=1 iterations=2 restarts=1 poisons=3",
    "hypo": f"{NARROW} epochs=1 restarts=2",
    "lsp": "patch=4",
    "narcissus": "width=4 epochs=1 warmup_epochs=1 rounds=12 images=3 batch_size=8 step_size=0.05",
    "pil": "steps=2 epochs=1 precision=fp32",
    "rem": f"{NARROW} training_steps=1 transforms=1 adversary_steps=1",
    "sep": f"{NARROW} epochs=2 checkpoints=2 inner_steps=1",
    "tap": f"{NARROW} epochs=1 restarts=1 step_size=4/255",
}


def machine() -> str:
    """What the bytes depend on."""
    processor, _ = describe_device(torch.device("cpu")).rsplit(", ", 1)  # without the threads
    versions = " ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "pillow"))
    return f"{processor}), {versions}"


def purified(method: str, folder: Path) -> str:
    """The hash of pixels of twelve digits after a method."""
    _make_digits(folder / "in.npz", rows=range(12))
    arguments = ["purify", "in.npz", "out.npz", "--seed", "0", "--method", method, *SETTINGS.get(method, ())]
    return _result(folder, arguments)


def poisoned(attack: str, folder: Path) -> str:
    """The hash of pixels of forty digits after an attack."""
    _make_digits(folder / "in.npz", rows=range(40))
    _make_digits(folder / "other.npz", rows=range(40, 70))
    _make_digits(folder / "targets.npz", rows=range(70, 100))
    arguments = ["poison", "in.npz", "out.npz", "--attack", attack]
    for assignment in ATTACK_SETTINGS.get(attack, "").split():
        arguments += ["--set", assignment]
    if "width" in ATTACK_SETTINGS.get(attack, ""):
        arguments += FP32
    if attack == "narcissus":
        arguments += ["--auxiliary", "other.npz"]
    if attack in ("bullseye", "gradient-matching"):
        arguments += ["--target-set", "targets.npz"]
    return _result(folder, arguments)


def _make_digits(path: Path, *, rows: range) -> None:
    write(read("digits#train").subset(rows), path)


def _result(folder: Path, arguments: list[str]) -> str:
    command = [sys.executable, "-m", "unpoison", *arguments, "--json", "--threads", "1"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return read(folder / "out.npz").content_hash


@pytest.mark.parametrize("name", [*PURIFIERS, "jpeg+fast"])
def test_a_purifier_gives_the_bytes_on_record(name, tmp_path):
    assert purified(name, tmp_path) == _on_record(name)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gives_the_bytes_on_record(name, tmp_path):
    assert poisoned(name, tmp_path) == _on_record(name)


def _on_record(name: str) -> str:
    made: dict[str, str] = json.loads(RECORD.read_text()).get(machine(), {})
    if name not in made:  # or a method that is younger than the record of this machine
        pytest.skip(f"no bytes on record of {name} for {machine()}")
    return made[name]


def remake() -> None:
    """Add the bytes of this machine to the record."""
    made = {}
    for name in [*PURIFIERS, "jpeg+fast", *ATTACKS]:
        with tempfile.TemporaryDirectory() as folder:
            made[name] = (poisoned if name in ATTACKS else purified)(name, Path(folder))
        print(name, made[name][:12])  # noqa: T201 - for who runs this file by hand
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps({**record, machine(): made}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    remake()
