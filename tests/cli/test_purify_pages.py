"""The pages that `unpoison purify` draws, and what it says on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from unpoison.core.manifest import read_manifest
from unpoison.data import read, write
from unpoison.public.pages import draw_changes


@pytest.fixture
def folder(make_set, tmp_path) -> Path:
    write(make_set(20), tmp_path / "pictures")
    return tmp_path / "pictures"


@pytest.mark.parametrize(
    ("dst", "page"), [([], "preview.html"), (["out"], "out.preview.html"), (["look.html"], "look.html")]
)
def test_a_preview_writes_one_page_and_nothing_else(run, folder, tmp_path, monkeypatch, dst, page):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("purify", folder, *dst, "--method", "jpeg", "--preview", 4, "--json")
    assert code == 0, err
    answer = json.loads(out.splitlines()[-1])
    assert (answer["previewed"], answer["images"], answer["page"]) == (4, 20, page)
    assert answer["change_255"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["pictures", page])
    assert "4 of 20 pictures" in (tmp_path / page).read_text()


def test_without_preview_a_target_is_needed(run, folder):
    code, _, err = run("purify", folder, "--method", "jpeg")
    assert code == 2
    assert "--preview" in err


@pytest.mark.parametrize(("target", "page"), [("out", "out/changes.html"), ("out.npz", "out.npz.changes.html")])
def test_a_run_leaves_a_page(run, folder, tmp_path, target, page):
    code, _, err = run("purify", folder, tmp_path / target, "--method", "jpeg")
    assert code == 0, err
    text = (tmp_path / page).read_text()
    assert "Pictures with the most unusual change" in text
    assert text.count("<img") == 80
    assert all(name in text for name in ("c0", "c1", "c2"))
    assert not read(tmp_path / target).notes


def test_a_page_that_cannot_be_drawn_loses_nothing(make_set, capsys):
    source = make_set(20)
    manifest = _manifest(source, {"mean": 1.0, "per_class": {}, "largest": {"c0/gone": 1.0}})
    assert draw_changes(source, source, manifest) == {}
    err = capsys.readouterr().err
    assert "is complete, but its page could not be drawn" in err
    assert "c0/gone" in err


def test_other_files_are_counted_and_left_alone(run, folder, tmp_path):
    (folder / "c0" / "notes.txt").write_text("hello")
    (folder / "readme.md").write_text("hello")
    code, _, err = run("purify", folder, tmp_path / "out", "--method", "grayscale")
    assert code == 0
    assert "files that are no pictures, left alone: 2 (c0/notes.txt, readme.md)" in err
    assert not list((tmp_path / "out").rglob("*.txt"))
    manifest = read_manifest(tmp_path / "out" / "manifest.json")
    assert (manifest.count, manifest.notes) == (20, {"files that are no pictures, left alone": 2})


def _manifest(source, change):
    from unpoison.core.manifest import Manifest, Step

    step = Step(
        action="purify", method="jpeg", settings={}, seed=0, source="", result="", versions={}, device="cpu",
        facts={"change_255": change},
    )  # fmt: skip
    return Manifest(name=source.name, format=source.format, count=len(source), per_class={}, steps=[step])
