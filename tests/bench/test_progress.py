"""Where a suite stands: trials are numbered, and those that have a record leave the count."""

from __future__ import annotations

from unpoison.bench.progress import SuiteProgress
from unpoison.core.progress import StepInfo


def test_a_suite_is_told_as_one():
    told: list[StepInfo] = []
    progress = SuiteProgress(told.append, 4)
    progress.begin(1, "none / none")  # has its record
    progress.end()
    progress.begin(2, "lsp / none")
    with progress.bar("poison lsp", "step") as on_step:
        on_step(StepInfo(1, 2))
    with progress.bar("train resnet18", "step", is_trial=True) as on_step:
        on_step(StepInfo(3, 4))
    with progress.bar("train resnet18", "step", is_trial=True) as on_step:  # the control of a triggered attack
        on_step(StepInfo(1, 4))
    progress.end()
    progress.begin(3, "lsp / fast")
    with progress.bar("purify fast", "img") as on_step:
        on_step(StepInfo(1, 1))
    assert [(info.step, info.total) for info in told] == [
        *[(0, 3000)] * 3,
        *[(750, 3000)] * 3,
        *[(1000, 3000)] * 2,
    ]
    assert told[1].doing == "trial 2 of 4, lsp / none: poison lsp 50 %"
    assert told[-1].doing == "trial 3 of 4, lsp / fast: purify fast 100 %"


def test_nobody_need_listen():
    progress = SuiteProgress(None, 1)
    progress.begin(1, "none / none")
    with progress.bar("train resnet18", "step", is_trial=True) as on_step:
        on_step(StepInfo(1, 1))
    progress.end()


def test_the_time_left_is_that_of_trainings_and_of_what_is_being_made():
    told: list[StepInfo] = []
    now = 0.0
    progress = SuiteProgress(told.append, 4, clock=lambda: now)
    progress.begin(1, "none / none")
    with progress.bar("train resnet18", "step", is_trial=True) as on_step:
        assert told[-1].left_s is None
        now = 10
        on_step(StepInfo(1, 2))
        assert told[-1].left_s == 3.5 * 20
        now = 20
        on_step(StepInfo(2, 2))
    progress.end()
    progress.begin(2, "none / fast")
    with progress.bar("fit diffusion", "it") as on_step:
        assert told[-1].left_s == 3 * 20
        now = 120
        on_step(StepInfo(1, 4))
        assert told[-1].left_s == 3 * 20 + 300
    with progress.bar("train resnet18", "step", is_trial=True) as on_step:
        assert told[-1].left_s == 3 * 20
