"""The smallest training of every profile and mode gives the weights that are on record; and settings their hashes.

As with the bytes of `test_same_bytes.py`: a machine of another kind, or with other versions, skips the weights with a
word. `PYTHONPATH=tests python -m classify.test_same_weights` adds what the machine at hand gives to the record: for a
change that means to change weights, and for that alone.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from test_same_bytes import machine

from classify.toy import toy_set
from unpoison.bench.identity import OF_BODY
from unpoison.classify.loop import TrainedClassifier
from unpoison.classify.settings import scratch_settings, transfer_settings
from unpoison.classify.training import train
from unpoison.classify.transfer import transfer
from unpoison.core.hashing import hash_json

RECORD = Path(__file__).with_name("same_weights.json")
SMALL = {"epochs": 2, "batch_size": 16, "precision": "fp32"}
NARROW = {**SMALL, "width": 4}
SCRATCH = {
    "fast": ("resnet18", NARROW),
    "eclipse,compensation": ("resnet18", {**NARROW, "precision": "bf16"}),
    "puregen,puregen-80-epoch": ("mobilenetv2", {**NARROW, "decay_epochs": [1]}),
    "puregen-vit": ("vit", NARROW),
    "puregen-r18-hlb": ("resnet18", NARROW),
    "puregen-hlb-small": ("hlb-s", NARROW),
    "puregen-hlb-small,puregen-hlb-large": ("hlb-l", NARROW),
    "airbench": ("airbench94", {**NARROW, "epochs": 4, "learning_rate": 0.1}),
}
TRANSFER = {
    "linear": ("linear", "", SMALL),
    "linear as PureGen": ("linear", "puregen-linear,puregen-lt-bench", {**SMALL, "decay_epochs": [1]}),
    "fine-tune": ("fine-tune", "compensation", {**SMALL, "nesterov": True, "schedule": "one-cycle"}),
    "fine-tune as PureGen": ("fine-tune", "puregen-fine-tune", SMALL),
}


def scratch_run(profile: str) -> TrainedClassifier:
    """A training by a profile."""
    model, changes = SCRATCH[profile]
    settings = scratch_settings(profiles=profile.split(","), overrides=changes)
    return train(_pictures(48), test_set=_pictures(9), model=model, settings=settings, device="cpu")


def transfer_run(name: str) -> TrainedClassifier:
    """A transfer of a body that was hardly trained."""
    mode, profile, changes = TRANSFER[name]
    settings = transfer_settings(mode, profiles=profile.split(",") if profile else [], overrides=changes)
    body = train(
        _pictures(48), test_set=_pictures(9), settings=scratch_settings(overrides={**NARROW, "epochs": 1}), device="cpu"
    )
    return transfer(body.net, _pictures(32), test_set=_pictures(9), mode=mode, settings=settings, device="cpu")


def _pictures(count: int):
    return toy_set(count, side=16, seed=count)


def hash_of(trained: TrainedClassifier) -> str:
    """sha256 of weights, losses and predictions."""
    digest = hashlib.sha256(trained.predictions.tobytes())
    digest.update(repr([epoch.train_loss for epoch in trained.history]).encode())
    for name, value in trained.net.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("profile", SCRATCH)
def test_a_training_gives_the_weights_on_record(profile):
    assert hash_of(scratch_run(profile)) == _on_record(profile)


@pytest.mark.parametrize("name", TRANSFER)
def test_a_transfer_gives_the_weights_on_record(name):
    assert hash_of(transfer_run(name)) == _on_record(name)


def test_settings_keep_the_hashes_that_trials_are_known_by():
    """On every machine: the ids of old trials are made from them."""
    assert _settings() == json.loads(RECORD.read_text())["settings"]


def _settings() -> dict[str, str]:
    scratch = {name: scratch_settings(profiles=name.split(",")) for name in SCRATCH}
    scratch["one setting more"] = scratch_settings(profiles=["fast"], overrides={"cutout": 0})
    scratch["one setting changed"] = scratch_settings(profiles=["fast"], overrides={"epochs": 3, "width": 8})
    transfers = {
        name: transfer_settings(mode, profiles=profile.split(",") if profile else [])
        for name, (mode, profile, _) in TRANSFER.items()
    }
    recorded = {name: settings.model_dump(mode="json") for name, settings in scratch.items()}
    recorded |= {name: {**settings.model_dump(mode="json"), **OF_BODY} for name, settings in transfers.items()}
    return {name: hash_json(values) for name, values in recorded.items()}


def _on_record(name: str) -> str:
    record = json.loads(RECORD.read_text())
    if machine() not in record:
        pytest.skip(f"no weights on record for {machine()}")
    return record[machine()][name]


def remake() -> None:
    """Add the weights of this machine to the record."""
    torch.set_num_threads(1)
    made = {name: hash_of(scratch_run(name)) for name in SCRATCH}
    made |= {name: hash_of(transfer_run(name)) for name in TRANSFER}
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    RECORD.write_text(json.dumps({**record, machine(): made, "settings": _settings()}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    remake()
