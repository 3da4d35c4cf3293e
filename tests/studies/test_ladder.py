"""Pictures at the stations of their purification are those that runs of these strengths store."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unpoison.core.errors import ModelError, SettingsError
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.in_memory import purify_in_memory
from unpoison.runs.run import PurifyRun
from unpoison.studies.ladder import choose_stations, follow, ladder, watch

CPU = torch.device("cpu")


def make_run(method: str, model, **overrides) -> PurifyRun:
    return PurifyRun(purifier_settings(method, overrides={"model": str(model), **overrides}), seed=3, microbatch=4)


@pytest.mark.parametrize("count", [8, 7])  # whole network calls of 4, and one to fill up
def test_a_chain_passes_what_shorter_runs_store(make_set, tiny_energy, count):
    image_set = make_set(count)
    stations = [0, 1, 4, 6]
    passed = list(follow(image_set, make_run("puregen-ebm", tiny_energy, steps=6), stations, device=CPU))
    assert np.array_equal(passed[0], image_set.array())
    for steps, pictures in zip(stations[1:], passed[1:], strict=True):
        run = make_run("puregen-ebm", tiny_energy, steps=steps)
        assert np.array_equal(pictures, purify_in_memory(image_set, run, device="cpu")[0].array())


@pytest.mark.parametrize(("method", "fixture"), [("puregen-ddpm", "tiny_ddpm"), ("eclipse", "tiny_model")])
def test_every_round_trip_is_a_run(method, fixture, make_set, request):
    image_set, model = make_set(7), request.getfixturevalue(fixture)
    start, short, long = follow(image_set, make_run(method, model, t=8, steps=3), [0, 2, 5], device=CPU)
    assert np.array_equal(start, image_set.array())
    for pictures, t, steps in ((short, 2, 2), (long, 5, 3)):
        run = make_run(method, model, t=t, steps=steps)
        assert np.array_equal(pictures, purify_in_memory(image_set, run, device="cpu")[0].array())


def test_a_walk_is_watched_from_its_noise_to_what_a_run_stores(make_set, tiny_model):
    image_set = make_set(7)
    run = make_run("fast", tiny_model, sigma="20/255", field="0")
    noisy, purified = watch(image_set, run, [0, 1], device=CPU)
    assert np.array_equal(purified, purify_in_memory(image_set, run, device="cpu")[0].array())
    inside = (image_set.array() > 80) & (image_set.array() < 175)  # where nothing is clamped
    assert (noisy.astype(int) - image_set.array())[inside].std() == pytest.approx(20, rel=0.1)


def test_stations_end_where_the_method_or_its_model_does(tiny_energy, tiny_ddpm):
    def chosen(*arguments, **overrides):
        return choose_stations(make_run(*arguments, **overrides), device=CPU)

    assert chosen("puregen-ebm", tiny_energy) == [0, 1, 2, 5, 10, 20, 25, 50, 75, 100, 125, 150]
    assert chosen("puregen-ddpm", tiny_ddpm)[-5:] == [50, 75, 100, 125, 150]
    assert chosen("puregen-ddpm", tiny_ddpm, t=30)[-4:] == [25, 30, 50, 60]
    assert chosen("puregen-ddpm", tiny_ddpm, t=200)[-2:] == [225, 250]  # the model's first 250 indices
    assert ladder(1) == [0, 1]


def test_a_method_without_one_strength_is_refused(make_set):
    run = PurifyRun(purifier_settings("jpeg"))
    with pytest.raises(SettingsError, match=r"'jpeg' cannot be followed .* eclipse, puregen-ebm, puregen-ddpm"):
        choose_stations(run, device=CPU)


def test_images_out_of_all_bounds_are_an_error(make_set, tiny_energy):
    run = make_run("puregen-ebm", tiny_energy, temperature=1e-45)
    with pytest.raises(ModelError, match="out of all bounds;"):
        list(follow(make_set(2), run, [0, 1, 5], device=CPU))
