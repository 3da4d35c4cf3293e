"""`purify --method auto`: audited once, chosen once, and told in the manifest."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import unpoison
from unpoison.auditing.advice import Advice, Tried
from unpoison.auditing.audit import audit_set
from unpoison.auditing.candidates import LIGHT
from unpoison.core.errors import RunError, SettingsError, UnpoisonError
from unpoison.core.images import ArrayImageSet
from unpoison.core.manifest import read_manifest
from unpoison.data import read, write
from unpoison.public import choosing, files
from unpoison.purifiers.methods import DEFAULT
from unpoison.scoring.intervals import share

TRIED = Tried(LIGHT, 7.25, share(30, 60))
ADVICE = Advice("jpeg", (), {"quality": 10}, "it is enough", (TRIED,))


@pytest.fixture
def audits(monkeypatch):
    """Every audit that is made; each of a set that is too small to say more, and advice follows as if it had."""
    made: list[str] = []

    def audit(image_set, **options):
        made.append(image_set.name)
        return audit_set(image_set, device=options["device"])

    monkeypatch.setattr(choosing, "audit_set", audit)
    monkeypatch.setattr(choosing, "advise", lambda *_, **__: ADVICE)
    return made


@pytest.fixture
def source(make_set, tmp_path):
    write(make_set(24), tmp_path / "in")
    return tmp_path / "in"


def _chosen(target):
    return read_manifest(target / "manifest.json").steps[-1].facts["chosen"]


def test_a_set_too_small_to_audit_gets_the_default(run, source, tmp_path):
    code, out, err = run("purify", source, tmp_path / "out", "--method", "auto", "--seed", 3)
    assert code == 0, err
    assert f"24 images purified with {DEFAULT}" in out
    assert "unpoison: in: 24 pictures of 3 classes: cannot tell: 24 pictures of 3 classes; 200 are needed\n" in err
    assert f"unpoison: chosen: {DEFAULT}: the audit cannot tell (24 pictures of 3 classes" in err
    assert run("purify", source, tmp_path / "named", "--seed", 3)[0] == 0
    assert read(tmp_path / "out").content_hash == read(tmp_path / "named").content_hash


def test_the_manifest_tells_what_was_tried_and_chosen(run, audits, source, tmp_path):
    code, out, _ = run("purify", source, tmp_path / "out", "--method", "auto", "--seed", "3", "--json")
    assert code == 0
    chosen = _chosen(tmp_path / "out")
    assert json.loads(out.splitlines()[-1])["chosen"] == chosen
    assert chosen["purifier"] == {"method": "jpeg", "profiles": [], "settings": {"quality": 10}}
    assert (chosen["verdict"], chosen["reason"]) == ("cannot tell", "it is enough")
    assert chosen["tried"][0]["surprise"] == 7.25
    assert chosen["tried"][0]["accuracy"]["value"] == 0.5
    step = read_manifest(tmp_path / "out" / "manifest.json").steps[-1]
    assert (step.method, step.seed, step.settings["jpeg"]["quality"]) == ("jpeg", 3, 10)


def test_a_finished_run_given_again_audits_nothing(run, audits, source, tmp_path):
    command = ("purify", source, tmp_path / "out", "--method", "auto")
    assert run(*command)[0] == 0
    code, _, err = run(*command)
    assert (code, audits) == (0, ["in"])
    assert "was done already" in err
    shutil.rmtree(source / "c0")
    code, _, err = run(*command)
    assert (code, audits) == (2, ["in"])
    assert "from other pictures" in err
    assert run(*command, "--overwrite")[0] == 0
    assert audits == ["in", "in"]


def test_a_stopped_run_goes_on_with_what_was_chosen(run, audits, source, tmp_path, monkeypatch):
    command = ("purify", source, tmp_path / "out", "--method", "auto", "--seed", 3)
    with monkeypatch.context() as patch:
        patch.setattr(files, "purify_to", lambda *_, **__: _stop())
        assert run(*command)[0] == 2
    assert (tmp_path / "out.partial" / "chosen.json").exists()
    code, _, err = run(*command)
    assert (code, audits) == (0, ["in"])
    assert "unpoison: chosen before: jpeg --set quality=10\n" in err
    assert not (tmp_path / "out.partial").exists()
    run("purify", source, tmp_path / "whole", "--method", "auto", "--seed", 3)
    first, second = ((tmp_path / name / "manifest.json").read_bytes() for name in ("out", "whole"))
    assert first == second


def _stop():
    raise RunError("stopped")


@pytest.mark.parametrize("change", ["pictures", "reference", "damage", "a stranger's"])
def test_what_was_chosen_for_something_else_does_not_count(
    run, audits, source, tmp_path, monkeypatch, make_set, change
):
    command = ["purify", source, tmp_path / "out", "--method", "auto"]
    with monkeypatch.context() as patch:
        patch.setattr(files, "purify_to", lambda *_, **__: _stop())
        run(*command)
    kept = tmp_path / "out.partial" / "chosen.json"
    if change == "pictures":
        shutil.rmtree(source / "c0")
    elif change == "reference":
        write(make_set(9), tmp_path / "trusted")
        command += ["--reference", tmp_path / "trusted"]
    elif change == "damage":
        kept.write_text("{")
    else:
        kept.write_text(kept.read_text().replace('"jpeg"', '"os:system"'))
    code, _, err = run(*command)
    assert code == 0, err
    assert audits == ["in", "in"]


def test_what_is_at_the_target_is_refused_before_the_audit(run, audits, source, tmp_path):
    command = ("purify", source, tmp_path / "out", "--method")
    assert run(*command, "grayscale")[0] == 0
    code, _, err = run(*command, "auto")
    assert (code, audits) == (2, [])
    assert "already there, and was not made by auto" in err
    (tmp_path / "out" / "manifest.json").unlink()
    assert run(*command, "auto", "--overwrite")[0] == 2
    assert audits == []


def test_parts_share_one_choice(run, audits, source, tmp_path):
    for part in ("1/2", "2/2"):
        assert run("purify", source, tmp_path / "out", "--method", "auto", "--part", part)[0] == 0
    assert audits == ["in"]
    assert _chosen(tmp_path / "out")["reason"] == "it is enough"


def test_rerun_repeats_what_was_chosen(run, audits, source, tmp_path):
    assert run("purify", source, tmp_path / "out", "--method", "auto")[0] == 0
    code, out, _ = run("rerun", tmp_path / "out", "--out", tmp_path / "again")
    assert code == 0
    assert "the same set, pixel for pixel" in out
    assert audits == ["in"]


def test_a_dry_run_and_a_preview_write_no_set(run, audits, source, tmp_path):
    code, out, _ = run("purify", source, tmp_path / "out", "--method", "auto", "--dry-run")
    assert code == 0
    shown = json.loads(out)
    assert (shown["method"], shown["settings"]["jpeg"]["quality"]) == ("jpeg", 10)
    assert shown["chosen"]["reason"] == "it is enough"
    code, out, _ = run("purify", source, tmp_path / "page.html", "--method", "auto", "--preview", "2")
    assert code == 0
    assert "2 of 24 images tried" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "page.html"]


def test_an_audit_that_fails_leaves_nothing(run, source, tmp_path, monkeypatch):
    monkeypatch.setattr(choosing, "audit_set", lambda *_, **__: _stop())
    assert run("purify", source, tmp_path / "out", "--method", "auto") == (2, "", "unpoison: stopped.\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--method", "auto", "--profile", "light"), "--method auto chooses the settings itself"),
        (("--method", "auto", "--set", "steps=2"), "--method auto chooses the settings itself"),
        (("--method", "jpeg", "--reference", "in"), "--reference is for --method auto"),
        (("--method", "auto+jpeg"), "auto"),
    ],
)
def test_options_that_do_not_fit_are_refused(run, source, tmp_path, options, problem):
    code, out, err = run("purify", source, tmp_path / "out", *options)
    assert (code, out) == (2, "")
    assert problem in err


def test_a_set_without_classes_to_compare_names_the_way_out(run, make_set, tmp_path):
    write(make_set(8, classes=1), tmp_path / "one")
    code, _, err = run("purify", tmp_path / "one", tmp_path / "out", "--method", "auto")
    assert (code, err) == (
        2,
        "unpoison: one has pictures of one class, and auto compares classes: name a method instead, such as fast.\n",
    )
    bare = ArrayImageSet(make_set(4).images, [-1] * 4, class_names=())
    with pytest.raises(SettingsError, match="pictures of no class"):
        unpoison.purify(bare, "auto")


def test_from_python_a_set_comes_back_as_the_set_that_is_written(audits, make_set, tmp_path):
    clean = make_set(24)
    purified = unpoison.purify(clean, "auto")
    assert np.array_equal(purified.array(), unpoison.purify(clean, "jpeg", quality=10).array())
    written = unpoison.purify(clean, "auto", out=tmp_path / "out")
    assert written.content_hash == purified.content_hash
    assert _chosen(tmp_path / "out")["purifier"]["method"] == "jpeg"
    assert unpoison.purify(clean, "auto", out=tmp_path / "out").content_hash == purified.content_hash
    assert len(audits) == 2


def test_from_python_what_does_not_fit_is_refused(make_set):
    for arguments, options, problem in (
        ((make_set(4).images, "auto"), {}, "auto audits a set with labels, and a ndarray has none"),
        (([make_set(1).images[0]], "auto"), {}, "a list has none"),
        ((make_set(4), "auto"), {"quality": 5}, "auto chooses the settings itself"),
        ((make_set(4), "auto"), {"overwrite": True}, "give both or neither"),
        ((make_set(4), "jpeg"), {"reference": make_set(4)}, "reference= is for method 'auto'"),
        ((make_set(4), "auto"), {"reference": make_set(4, classes=4)}, "has pictures of c3"),
    ):
        with pytest.raises(UnpoisonError, match=problem):
            unpoison.purify(*arguments, **options)
    with pytest.raises(SettingsError, match="auto audits a whole set"):
        unpoison.Purify("auto")
