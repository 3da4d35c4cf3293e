"""What `purify` says when it is done, and what it does where a set is there already."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from unpoison.data import read


@pytest.fixture
def source(tmp_path, make_set):
    images = make_set(4).images
    for number, image in enumerate(images):
        path = tmp_path / "in" / "cat" / f"{number}.{'jpg' if number % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return tmp_path / "in"


def test_it_names_all_that_it_made(run, source, tmp_path):
    out = tmp_path / "out"
    code, said, err = run("purify", source, out, "--method", "jpeg")
    assert code == 0
    lines = said.splitlines()
    assert lines[0] == f"4 images purified with jpeg -> {out}"
    assert err == "unpoison: 2 pictures are stored as .png now, under their old names but for the suffix\n"
    assert lines[1].startswith("mean change ")
    assert lines[1].endswith(f" of 255, shown in {out / 'changes.html'}")
    assert lines[2] == f"manifest: {out / 'manifest.json'}"
    assert (out / "changes.html").is_file()
    assert sorted(path.name for path in (out / "cat").iterdir()) == ["0.png", "1.png", "2.png", "3.png"]


def test_another_format_is_said(run, source, tmp_path):
    _, _, err = run("purify", source, tmp_path / "out.npz", "--method", "jpeg")
    assert err == "unpoison: format: folder before, npz now\n"


def test_the_same_again_is_done_and_another_way_needs_overwrite(run, source, tmp_path):
    command = ("purify", source, tmp_path / "out", "--method", "jpeg", "--json")
    first = json.loads(run(*command)[1])
    code, said, err = run(*command)
    assert code == 0
    assert json.loads(said) == {**first, "already_done": True}
    assert err == f"unpoison: {tmp_path / 'out'} was done already, with the same settings from the same pictures\n"
    code, _, err = run(*command, "--set", "quality=50")
    assert code == 2
    assert "--overwrite" in err
    assert read(str(tmp_path / "out")).content_hash == first["result"]
    code, said, err = run(*command, "--set", "quality=50", "--overwrite")
    assert (code, err.count("\n")) == (0, 1)  # what changed its kind, and nothing else
    assert json.loads(said)["result"] == read(str(tmp_path / "out")).content_hash != first["result"]


def test_a_dry_run_needs_no_target(run, source):
    code, said, _ = run("purify", source, "--method", "jpeg", "--dry-run")
    assert code == 0
    assert json.loads(said)["settings"]["jpeg"] == {"quality": 10}
