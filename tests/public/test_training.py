"""`unpoison.train` with pictures that are purified anew in every epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unpoison
from unpoison.classify.saving import load_classifier, save_classifier
from unpoison.core.errors import SettingsError
from unpoison.purifiers.methods import DEFAULT

SMALL = {"epochs": 3, "batch_size": 8, "width": 4, "model": "hlb-s", "precision": "fp32", "device": "cpu"}


@pytest.fixture
def sets(make_set):
    return make_set(40), {"test_set": make_set(12, seed=1)}


def weights_of(trained) -> torch.Tensor:
    return torch.cat([value.flatten().double() for value in trained.net.state_dict().values()])


def test_one_draw_is_a_training_on_the_purified_set(sets):
    train_set, test = sets
    for alternating_flip in (False, True):
        fields = {**SMALL, "alternating_flip": alternating_flip}
        purified = unpoison.train(unpoison.purify(train_set, seed=3), seed=3, **test, **fields)
        drawn = unpoison.train(train_set, purify=DEFAULT, draws=1, seed=3, **test, **fields)
        assert torch.equal(weights_of(drawn), weights_of(purified))


def test_fresh_draws_repeat_with_a_seed_and_are_secret_without(sets, tmp_path):
    train_set, test = sets
    fresh = [unpoison.train(train_set, purify="fast", seed=3, **test, **SMALL) for _ in range(2)]
    assert torch.equal(*map(weights_of, fresh))
    assert not torch.equal(
        weights_of(fresh[0]), weights_of(unpoison.train(train_set, purify="fast", draws=1, seed=3, **test, **SMALL))
    )
    assert fresh[0].purified["seed"] == 3
    secret = unpoison.train(train_set, purify="fast", **test, **SMALL)
    assert secret.seed == 0
    assert secret.purified["seed"] > 2**31
    own = unpoison.Purify("fast", sigma="40/255", seed=secret.purified["seed"])
    assert unpoison.train(train_set, purify=own, **test, **SMALL).purified["settings"]["fast"]["sigma"] == "40/255"
    save_classifier(tmp_path, secret)
    assert np.array_equal(load_classifier(tmp_path).mean, secret.net.mean)


def test_the_cost_is_shown(sets):
    train_set, test = sets
    steps = []
    unpoison.train(train_set, purify="jpeg", on_step=steps.append, **test, **SMALL)
    purifying = [step.doing for step in steps if step.doing]
    assert purifying[-1] == "purifying 40 of 40 for epoch 3"
    assert [step.step for step in steps] == sorted(step.step for step in steps)
    assert {step.total for step in steps} == {15}


def test_what_does_not_fit_is_refused(sets):
    train_set, test = sets
    with pytest.raises(SettingsError, match="draws= is about purify="):
        unpoison.train(train_set, draws=2, **test, **SMALL)
    with pytest.raises(SettingsError, match="looks at the whole set"):
        unpoison.train(train_set, purify="d-vae", **test, **SMALL)
    with pytest.raises(SettingsError, match="did you mean 'fast'"):
        unpoison.train(train_set, purify="fsat", **test, **SMALL)
