"""EPIC: greedy medoids against a slow search, planted outliers, and rows of the whole set throughout."""

from __future__ import annotations

import pytest
import torch

from classify.toy import toy_set
from unpoison.classify.defences.epic import find_medoids, isolated
from unpoison.classify.loop import EpochResult
from unpoison.classify.settings import scratch_settings
from unpoison.classify.training import train


@pytest.mark.parametrize("seed", range(5))
def test_lazy_medoids_are_the_greedy_ones(seed):
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(seed))
    apart = torch.cdist(points, points)
    near = apart.max() - apart
    chosen: list[int] = []
    for _ in range(8):
        worth = [float("-inf") if row in chosen else _reached(near, [*chosen, row]) for row in range(40)]
        chosen.append(max(range(40), key=worth.__getitem__))
    assert find_medoids(apart, 8).tolist() == chosen


def _reached(near: torch.Tensor, medoids: list[int]) -> float:
    return near[medoids].max(dim=0).values.sum().item()


def test_planted_outliers_stand_alone_and_no_one_else():
    source = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0, 0], [8, 0, 0], [0, 8, 0]])
    labels = torch.arange(300) % 3
    slopes = centres[labels] + 0.1 * torch.randn(300, 3, generator=source)
    planted = torch.tensor([4, 100, 101, 299])
    slopes[planted] += torch.tensor([[0.0, 0, 9], [0, 0, -9], [0, 0, 12], [0, 0, 15]])
    assert isolated(slopes, labels, 0.05).nonzero()[:, 0].tolist() == planted.tolist()


def test_a_class_of_which_all_stand_alone_loses_none():
    slopes = torch.tensor([[0.0], [5.0], [1.0], [1.1], [1.2], [9.0]])
    labels = torch.tensor([0, 0, 1, 1, 1, 1])
    assert isolated(slopes, labels, 0.9).tolist()[:2] == [False, False]


def test_rows_are_those_of_the_whole_set_and_none_is_left_out_twice(make, monkeypatch):
    epic = make("epic", warm_up=1, every=2)
    alone = iter([[5, 7], [7, 30], [0]])

    def look(slopes, labels, fraction):
        assert len(slopes) == len(labels) == 48  # whatever was left out
        found = torch.zeros(48, dtype=torch.bool)
        found[next(alone)] = True
        return found

    monkeypatch.setattr("unpoison.classify.defences.epic.isolated", look)
    everything = torch.arange(48)
    left = [sorted(set(range(48)) - set(epic.choose(everything, epoch).tolist())) for epoch in range(1, 7)]
    assert left == [[], [5, 7], [5, 7], [5, 7, 30], [5, 7, 30], [0, 5, 7, 30]]
    assert epic.choose(torch.tensor([1, 5, 40]), 7).tolist() == [1, 40]


def test_it_stops_at_the_last_fall_of_the_rate(make, monkeypatch):
    epic = make("epic", warm_up=0, every=1)
    epic.training = epic.training.model_copy(update={"decay_epochs": (2,)})
    looks = []
    monkeypatch.setattr(epic, "slopes", lambda: looks.append(1) or torch.zeros(48, 3))
    for epoch in range(1, 7):
        epic.choose(torch.arange(48), epoch)
    assert len(looks) == 3


def test_what_is_left_out_is_not_learnt_from_and_the_schedule_ends_all_the_same():
    chosen = {"epochs": 3, "batch_size": 8, "width": 4, "precision": "fp32", "learning_rate": 0.05}
    chosen |= {"defence": "epic", "epic.warm_up": 1, "epic.every": 1, "epic.fraction": 0.4}
    steps = []
    trained = train(
        toy_set(48, side=16),
        test_set=toy_set(9, side=16, seed=9),
        model="hlb-s",
        settings=scratch_settings(overrides=chosen),
        device="cpu",
        on_step=lambda info: steps.append((info.step, info.total)),
    )
    counts = [epoch.pictures for epoch in trained.history]
    assert counts[0] == 48 > counts[1] >= counts[2] > 0
    assert steps[-1] == (18, 18)
    assert isinstance(trained.history[0], EpochResult)
