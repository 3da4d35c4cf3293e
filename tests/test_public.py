"""What `import unpoison` offers."""

from __future__ import annotations

import numpy as np

import unpoison
from unpoison.classify.saving import save_classifier
from unpoison.classify.settings import TrainSettings
from unpoison.data import write


def test_the_public_names_are_listed_and_there():
    assert set(dir(unpoison)) == set(unpoison.__all__)
    assert {"ImageSet", "UnpoisonError", "fit", "poison", "purify", "read", "score", "train", "write"} <= set(
        dir(unpoison)
    )
    for name in dir(unpoison):
        assert getattr(unpoison, name)


def test_poison_train_and_score_take_what_read_takes(make_set, tmp_path):
    write(make_set(24), tmp_path / "train.npz")
    write(make_set(12, seed=1), tmp_path / "test")
    poisoned = unpoison.poison(tmp_path / "train.npz", "urp")
    assert np.array_equal(poisoned.image_set.array(), unpoison.poison(make_set(24), "urp").image_set.array())
    settings = TrainSettings(epochs=1, batch_size=8, width=4)
    trained = unpoison.train(str(tmp_path / "train.npz"), test_set=str(tmp_path / "test"), settings=settings)
    scored = unpoison.score(trained, tmp_path / "test")
    save_classifier(tmp_path / "net", trained)
    assert unpoison.score(tmp_path / "net", tmp_path / "test").accuracy == scored.accuracy
