"""Every defence in a whole training: it takes its settings, changes what is learnt, and is the same again."""

from __future__ import annotations

import pytest
import torch

from classify.toy import toy_set
from unpoison.classify.defences.methods import METHODS, load_defence
from unpoison.classify.settings import TrainSettings, scratch_settings, transfer_settings
from unpoison.classify.training import train
from unpoison.classify.transfer import transfer
from unpoison.core.errors import SettingsError

SMALL = {"epochs": 2, "batch_size": 16, "width": 4, "precision": "fp32", "learning_rate": 0.05}
QUICK = {
    "epic": {"epic.warm_up": 0, "epic.every": 1, "epic.fraction": 0.4},
    "friendly-noise": {"friendly-noise.warm_up": 1, "friendly-noise.steps": 2},
    "adversarial": {"adversarial.steps": 1},
    "cutout": {"cutout": 4},
}
# The profile that each of them consists of tells other fields.
OWN = [name for name in METHODS if not load_defence(name).profile]


def settings(name: str, **more) -> TrainSettings:
    return scratch_settings(overrides={**SMALL, "defence": name, **QUICK.get(name, {}), **more})


def run(chosen: TrainSettings, seed: int = 0):
    sets = {"test_set": toy_set(9, side=16, seed=9)}
    return train(toy_set(48, side=16), model="hlb-s", settings=chosen, seed=seed, device="cpu", **sets)


def weights(trained) -> torch.Tensor:
    return torch.cat([value.flatten() for value in trained.net.parameters()])


@pytest.mark.parametrize("name", METHODS)
def test_a_training_with_it_is_another_one_and_the_same_again(name):
    plain, once, again = (weights(run(chosen)) for chosen in (scratch_settings(overrides=SMALL), *[settings(name)] * 2))
    assert torch.equal(once, again)
    assert not torch.equal(once, plain)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("mode", ["linear", "fine-tune"])
def test_a_transfer_takes_it(name, mode):
    body = run(scratch_settings(overrides={**SMALL, "epochs": 1})).net
    fields = {"epochs": 2, "batch_size": 16, "precision": "fp32", "crop_padding": 0, "flip": False}
    chosen = transfer_settings(mode, overrides={**fields, "defence": name, **QUICK.get(name, {})})
    sets = {"test_set": toy_set(9, side=16, seed=9)}
    moved = transfer(body, toy_set(48, side=16), mode=mode, settings=chosen, device="cpu", **sets).net
    same = [torch.equal(old, new) for old, new in zip(body.parameters(), moved.parameters(), strict=True)]
    assert not same[-1]
    assert all(same[:-1]) == (mode == "linear")
    for old, new in zip(body.buffers(), moved.buffers(), strict=True):  # what normalisation remembers
        assert torch.equal(old, new)


@pytest.mark.parametrize("name", OWN)
def test_its_settings_are_written_and_read_back(name):
    chosen = settings(name)
    written = chosen.model_dump(mode="json")
    assert list(written["defence"]) == [name]
    assert TrainSettings(**written) == chosen
    assert TrainSettings.model_validate_json(chosen.model_dump_json()) == chosen


@pytest.mark.parametrize("name", ["compensation", "cutout"])
def test_what_acts_through_settings_of_the_training_is_its_profile(name):
    profiled = scratch_settings(profiles=["fast", name])
    assert scratch_settings(profiles=["fast"], overrides={"defence": name}) == profiled
    assert "defence" not in profiled.model_dump()


def test_several_are_taken_in_order_with_settings_of_their_own():
    chosen = settings("cutmix+compensation+mixup", **{"cutmix.probability": 0.25})
    assert list(chosen.defence) == ["cutmix", "mixup"]
    assert chosen.defence["cutmix"].probability == 0.25
    assert chosen.noise_sigma == 0.05
    assert not torch.equal(weights(run(chosen)), weights(run(settings("mixup+compensation+cutmix"))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"defence": "epik"}, "there is no defence 'epik'; did you mean 'epic'"),
        ({"defence": "epic", "epic.fractoin": 1}, "epic has no setting 'fractoin'; did you mean 'fraction'"),
        ({"defence": "epic+epic"}, "names a defence twice"),
        ({"epic.fraction": 0.2}, "no defence is named; name it: --defence epic"),
        ({"defence": "mixup", "epic.fraction": 0.2}, "write one of mixup.field"),
        ({"defence": "epic", "epic.fraction": 2}, "epic: fraction=2 must be below 1"),
        ({"defence": "epic", "epochs": 5}, "epic.warm_up=5 is not below epochs=5, so that epic would do nothing"),
        ({"defence": 3}, "defence is 3; name one"),
        ({"defence": {"compensation": {}}}, "name the profile compensation"),
        ({"defence": {"epic": 3}}, "write a table of its settings"),
    ],
)
def test_what_makes_no_sense_is_refused(fields, message):
    with pytest.raises(SettingsError, match=message):
        scratch_settings(overrides=fields)
