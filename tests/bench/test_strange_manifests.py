"""A manifest for `rerun` may come from anybody: what it asks for is checked before anything is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from unpoison.bench.remaking import remake
from unpoison.core.errors import UnpoisonError
from unpoison.data import read, read_history, write
from unpoison.poisons.crafting import poison, write_poisoned
from unpoison.purifiers.settings import purifier_settings
from unpoison.runs.run import PurifyRun
from unpoison.runs.to_files import purify_to


@pytest.fixture
def manifest(make_set, tmp_path):
    """Of a poisoned and then purified set."""
    write(make_set(8), tmp_path / "clean.npz")
    clean = read(tmp_path / "clean.npz")
    result = poison(clean, "urp", fraction=0.5)
    write_poisoned(result, clean, tmp_path / "bad.npz")
    run = PurifyRun(purifier_settings("grayscale+puregen-ebm", overrides={"puregen-ebm.steps": 1}))
    purify_to(read(tmp_path / "bad.npz"), tmp_path / "good.npz", run, history=[result.step], device="cpu")
    return tmp_path / "good.npz.manifest.json"


def _set(*place: Any, to: Any) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        inner = found
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = to
        return found

    return change


def _drop(*place: Any) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        inner = found
        for key in place[:-1]:
            inner = inner[key]
        del inner[place[-1]]
        return found

    return change


SETTINGS = ("steps", -1, "settings")
CHANGES = {
    **{f"microbatch {value!r}": _set(*SETTINGS, "microbatch", to=value) for value in (0, -1, 10**12, "64", 1.5, True)},
    "no microbatch": _drop(*SETTINGS, "microbatch"),
    "no settings": _set(*SETTINGS, to={}),
    "settings of a link are no table": _set(*SETTINGS, "puregen-ebm", to=[1]),
    "settings of a link are missing": _drop(*SETTINGS, "grayscale"),
    "an unknown setting": _set(*SETTINGS, "puregen-ebm", "evil", to=1),
    "a million steps of Langevin": _set(*SETTINGS, "puregen-ebm", "steps", to=10**6),
    "a setting of the wrong kind": _set(*SETTINGS, "puregen-ebm", "steps", to={"a": [1]}),
    "a model that is a list": _set(*SETTINGS, "puregen-ebm", "model", to=["ebm-small"]),
    "a model that is any file": _set(*SETTINGS, "puregen-ebm", "model", to="/etc/passwd"),
    "another method": _set("steps", -1, "method", to="os:system"),
    "an empty method": _set("steps", -1, "method", to=""),
    "a link twice": _set("steps", -1, "method", to="grayscale+grayscale"),
    "an endless method": _set("steps", -1, "method", to="+".join(["grayscale"] * 10_000)),
    "an action that is none": _set("steps", -1, "action", to="os:system"),
    "a poison that is a purifier": _set("steps", -1, "action", to="poison"),
    "a seed that is text": _set("steps", -1, "seed", to="0"),
    "a seed below 0": _set("steps", -1, "seed", to=-1),
    "a seed without end": _set("steps", -1, "seed", to=10**400),
    "a hash that is none": _set("steps", -1, "source", to="../../x"),
    "no steps": _set("steps", to=[]),
    "too many steps": lambda found: {**found, "steps": found["steps"] * 1000},
    "steps that are none": _set("steps", to=[1, 2]),
    "a name that leads away": _set("name", to="../../../etc/passwd"),
    "a count that is text": _set("count", to="many"),
    "deep settings": _set(*SETTINGS, "puregen-ebm", "model", to=json.loads("[" * 500 + "]" * 500)),
    "no format": _drop("format"),
    "more than there is": _set("evil", to=1),
    "a list": lambda found: [found],
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_strange_manifest_is_one_line(manifest, name):
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(CHANGES[name](found)))
    with pytest.raises(UnpoisonError) as caught:
        remake(manifest, manifest.parent / "again.npz", device="cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert not (manifest.parent / "again.npz").exists()
    assert not (manifest.parent / "again.npz.partial").exists()


POISON = ("steps", 0)
POISONED = {
    "no settings": _set(*POISON, "settings", to={}),
    "a fraction of 0": _set(*POISON, "settings", "fraction", to=0),
    "classes that are a number": _set(*POISON, "settings", "classes", to=5),
    "an unknown setting": _set(*POISON, "settings", "evil", to=1),
    "another attack": _set(*POISON, "method", to="os:system"),
    "a mixture without settings": _set(*POISON, "method", to="urp+lsp"),
    "a set without a name": _set(*POISON, "facts", "auxiliary", to=[1]),
    "a set that is not there": _set(*POISON, "facts", "target_set", to={"name": "x", "hash": "y"}),
    "a file that is not there": _set(*POISON, "weights", to={"x.safetensors": "0" * 64}),
}


@pytest.mark.parametrize("name", POISONED)
def test_a_strange_manifest_of_an_attack_is_one_line(manifest, name):
    path = manifest.with_name("bad.npz.manifest.json")
    found = json.loads(path.read_text())
    path.write_text(json.dumps(POISONED[name](found)))
    if name == "no settings":  # the defaults are those of the attack
        assert not remake(path, path.parent / "again.npz").same
        return
    with pytest.raises(UnpoisonError) as caught:
        remake(path, path.parent / "again.npz")
    assert "\n" not in str(caught.value)
    assert not (path.parent / "again.npz").exists()


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"name": "of another program", "version": 3}']
)
def test_a_manifest_of_another_program_is_no_reason_to_refuse_a_set(make_set, tmp_path, content):
    write(make_set(8), tmp_path / "in")
    (tmp_path / "in" / "manifest.json").write_bytes(content)
    with pytest.warns(match="not a manifest of unpoison"):
        assert read_history(tmp_path / "in") == []
    assert len(read(tmp_path / "in")) == 8
