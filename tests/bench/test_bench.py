"""A whole small suite: every cell once, resumed without repeating, and refused where it makes no sense."""

from __future__ import annotations

import os

import pytest

from unpoison.bench.cache import Busy
from unpoison.bench.running import run_suite
from unpoison.bench.shipped import list_suites
from unpoison.bench.suite import read_suite
from unpoison.bench.trials import Trials
from unpoison.core.errors import SettingsError
from unpoison.core.manifest import manifest_path
from unpoison.core.records import read_records
from unpoison.data import read, write
from unpoison.reporting.grid import read_grid
from unpoison.reporting.pages import grid_page
from unpoison.reporting.reference.eclipse_csv import eclipse_rows
from unpoison.reporting.tables import accuracy_table, describe_grid

SUITE = """
name = "small"
title = "A small suite"
[sets]
train = "train.npz"
test = "test.npz"
sparse = "test.npz[:8]"
[models.net]
fit = "sparse"
profile = ["digits"]
set = { iterations = 2, batch_size = 4, arguments = { channels = 8, blocks = [1, 1, 1] }, plots = false }
[attacks.none]
[attacks.urp]
attack = "urp"
[defences.none]
[defences.jpeg]
purify = "jpeg"
[defences.fast]
purify = "fast"
model = "net"
set = { sigma = "20/255" }
train_profile = ["compensation"]
[train]
set = { epochs = 1, width = 4, batch_size = 8 }
"""


def test_a_defence_may_have_seeds_of_its_own(root):
    text = SUITE.replace('purify = "jpeg"', 'purify = "jpeg"\nseeds = [0, 2]')
    text = text.split("[defences.fast]")[0] + "[train]" + text.split("[train]")[1]
    (root / "suite.toml").write_text(text.replace("[attacks.urp]\nattack", "[attacks.u]\nattack"))
    records = run_suite(root / "suite.toml", root / "out", root=root)
    seeds = {
        (defence, record.settings["seed"])
        for record in records
        for defence in [record.settings["defence"]]
        if record.settings["attack"] == "none"
    }
    assert seeds == {("none", 0), ("jpeg", 0), ("jpeg", 2)}
    grid = read_grid(root / "out" / "small")
    assert (grid.cells["u", "none"].seeds, grid.cells["u", "jpeg"].seeds) == (1, 2)
    note = describe_grid(grid)
    assert "trainings a cell: 1/2" in note
    assert "Wilson" in note
    assert "t intervals" in note


@pytest.fixture
def root(make_set, tmp_path):
    write(make_set(24), tmp_path / "train.npz")
    write(make_set(24, seed=1), tmp_path / "test.npz")
    (tmp_path / "suite.toml").write_text(SUITE)
    return tmp_path


def test_every_cell_once_and_resumed(root, monkeypatch):
    records = run_suite(root / "suite.toml", root / "out", root=root)
    folder = root / "out" / "small"
    assert len(records) == 6
    assert {record.id for record in read_records(folder)} == {record.id for record in records}
    cells = {(record.settings["attack"], record.settings["defence"]): record for record in records}
    assert cells["urp", "none"].inputs["poisoned"] == cells["urp", "jpeg"].inputs["poisoned"]
    assert cells["urp", "none"].inputs["poisoned"] != cells["none", "none"].inputs["poisoned"]
    assert cells["urp", "none"].inputs["purified"] == cells["urp", "none"].inputs["poisoned"]
    assert cells["urp", "fast"].settings["train"]["grayscale_probability"] == 0.4
    assert cells["urp", "fast"].settings["purify"]["fast"]["model"].endswith(".safetensors")
    assert str(root) not in "".join(path.read_text() for path in folder.glob("*.json"))

    def fail(*_, **__):
        raise AssertionError("a finished trial was run again")

    # One record is lost; only that trial is run again, and it comes out the same.
    lost = folder / f"{cells['urp', 'jpeg'].id}.json"
    lost.unlink()
    again = run_suite(root / "suite.toml", root / "out", root=root)
    assert [record.metrics for record in again] == [record.metrics for record in records]
    monkeypatch.setattr("unpoison.bench.trials.train", fail)
    monkeypatch.setattr("unpoison.bench.workshop.fit", fail)
    run_suite(root / "suite.toml", root / "out", root=root)

    grid = read_grid(folder)
    table = accuracy_table(grid)
    assert table.splitlines()[0] == "| attack | none | jpeg | fast |"
    assert f"{100 * cells['urp', 'jpeg'].metrics['accuracy'].value:.1f}" in table.splitlines()[3]
    assert "24 clean test images" in describe_grid(grid)
    assert [(row.pure, row.poison, row.t, row.p) for row in eclipse_rows(grid)] == [
        (False, "none", 0, 0.0),
        (False, "urp", 0, 0.0),
    ]
    page = grid_page(grid)
    assert page.count('class="bar') == 6
    assert "<script" not in page


def test_a_column_may_defend_while_it_trains(root):
    text = SUITE.split("[models.net]")[0] + "[attacks.none]\n[defences.none]\n"
    text += '[defences.grey]\ntrain = "compensation"\n[defences.old]\ntrain_profile = ["compensation"]\n'
    text += '[defences.both]\npurify = "jpeg"\ntrain = "mixup+compensation"\n'
    text += 'train_set = { "mixup.probability" = 0.5, batch_size = 4 }\n[train]' + SUITE.split("[train]")[1]
    (root / "suite.toml").write_text(text)
    records = run_suite(root / "suite.toml", root / "out", root=root)
    trained = {record.settings["defence"]: record.settings["train"] for record in records}
    assert "defence" not in trained["none"]
    assert trained["grey"] == trained["old"]
    assert trained["both"]["defence"] == {"mixup": {"probability": 0.5}}
    assert (trained["both"]["noise_sigma"], trained["both"]["batch_size"]) == (0.05, 4)
    again = run_suite(root / "suite.toml", root / "out", root=root)
    assert [record.id for record in again] == [record.id for record in records]


def test_a_column_may_purify_while_it_trains(root):
    text = SUITE.split("[models.net]")[0] + "[attacks.none]\n[defences.none]\n"
    text += '[defences.once]\npurify = "gaussian-noise"\n[defences.one]\npurify = "gaussian-noise"\ndraws = 1\n'
    text += '[defences.fresh]\npurify = "gaussian-noise"\ndraws = "fresh"\n'
    text += "[train]" + SUITE.split("[train]")[1].replace("epochs = 1", "epochs = 3")
    (root / "suite.toml").write_text(text)
    records = run_suite(root / "suite.toml", root / "out", root=root)
    once, one, fresh = (
        next(found for found in records if found.settings["defence"] == name) for name in ("once", "one", "fresh")
    )
    assert one.details["per_class"] == once.details["per_class"]
    assert one.details["peak_accuracy"] == once.details["peak_accuracy"]
    assert (one.settings["purify"]["draws"], fresh.settings["purify"]["draws"]) == (1, "fresh")
    assert "draws" not in once.settings["purify"]
    again = run_suite(root / "suite.toml", root / "out", root=root)
    assert [record.id for record in again] == [record.id for record in records]


def test_a_column_may_start_from_a_trained_body(root):
    text = SUITE.split("[models.net]")[0] + '[classifiers.known]\nfit = "sparse"\nset = { epochs = 1, width = 4 }\n'
    text += '[attacks.none]\n[defences.none]\n[defences.pretrained]\nbody = "known"\ntrain = "mixup"\n'
    text += "train_set = { epochs = 1, batch_size = 8 }\n[train]" + SUITE.split("[train]")[1]
    (root / "suite.toml").write_text(text)
    records = run_suite(root / "suite.toml", root / "out", root=root)
    trained = {record.settings["defence"]: record for record in records}
    assert "mode" not in trained["none"].settings["train"]
    moved = trained["pretrained"].settings["train"]
    assert (moved["mode"], moved["learning_rate"], moved["body"]["epochs"]) == ("fine-tune", 0.01, 1)
    assert list(moved["defence"]) == ["mixup"]
    assert "body" in trained["pretrained"].inputs
    (root / "suite.toml").write_text(text.replace('body = "known"', 'body = "other"'))
    with pytest.raises(SettingsError, match=r"\[classifiers\] lacks 'other'"):
        read_suite(root / "suite.toml")


def test_names_of_a_suite_lead_nowhere(root):
    text = SUITE.split("[defences.jpeg]")[0] + "[train]" + SUITE.split("[train]")[1]
    name = "../../../../evil"
    (root / "suite.toml").write_text(text.replace("[attacks.urp]", f'[attacks."{name}"]'))
    before = {path.name for path in root.parent.iterdir()} | {path.name for path in root.iterdir()}
    records = run_suite(root / "suite.toml", root / "out", root=root)
    assert {record.settings["attack"] for record in records} == {"none", name}
    assert {path.name for path in root.parent.iterdir()} | {path.name for path in root.iterdir()} == before | {"out"}


def test_a_changed_or_broken_set_in_the_cache_is_made_again(root, capsys):
    text = SUITE.split("[defences.jpeg]")[0] + "[train]" + SUITE.split("[train]")[1]
    (root / "suite.toml").write_text(text)
    first = run_suite(root / "suite.toml", root / "out", root=root)
    (poisoned,) = (root / "out" / "small" / "cache" / "sets").glob("*.npz")
    content = poisoned.read_bytes()
    manifest = manifest_path(poisoned)
    for change in ("pixels", "cut", "no manifest"):
        if change == "pixels":
            write(read(root / "train.npz"), root / "other.npz")
            os.replace(root / "other.npz", poisoned)
        elif change == "cut":
            poisoned.write_bytes(content[:1000])
        else:
            manifest.unlink()
        for path in (root / "out" / "small").glob("*.json"):
            path.unlink()
        again = run_suite(root / "suite.toml", root / "out", root=root)
        assert [record.inputs for record in again] == [record.inputs for record in first]
        assert "is damaged or was changed, and is made again" in capsys.readouterr().err
        assert poisoned.read_bytes() == content
        assert manifest.exists()


def test_killed_while_a_classifier_was_saved_it_goes_on(root, monkeypatch):
    text = SUITE.split("[defences.jpeg]")[0] + "[train]" + SUITE.split("[train]")[1]
    surrogate = '[attacks.bull]\nattack = "bullseye"\nsurrogates = ["body"]\ntarget_set = "test"\n'
    surrogate += "set = { poisons = 2, iterations = 1 }\n"
    body = '[classifiers.body]\nfit = "train"\nset = { epochs = 1, width = 4, batch_size = 8 }\n'
    attack = '[attacks.urp]\nattack = "urp"\n'
    (root / "suite.toml").write_text(text.replace(attack, body + surrogate))

    class Killed(BaseException):
        """The process ends here."""

    def die(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("unpoison.classify.saving.save", die)  # the folder is there, the weights are not
        with pytest.raises(Killed):
            run_suite(root / "suite.toml", root / "out", root=root)
    folders = [path for place in ("classifiers", "controls") for path in (root / "out").rglob(f"{place}/*")]
    assert folders
    assert len(run_suite(root / "suite.toml", root / "out", root=root)) == 2


def test_a_wait_for_other_processes_is_said(root, capsys, monkeypatch):
    text = SUITE.split("[defences.jpeg]")[0] + "[train]" + SUITE.split("[train]")[1]
    (root / "suite.toml").write_text(text)
    monkeypatch.setattr("unpoison.bench.running._WAIT_SECONDS", 0.01)
    run, looks = Trials.run, []

    def busy_at_first(trials, cell):
        looks.append(cell)
        if len(looks) <= 6:
            raise Busy("elsewhere")
        return run(trials, cell)

    monkeypatch.setattr(Trials, "run", busy_at_first)
    run_suite(root / "suite.toml", root / "out", root=root)
    assert capsys.readouterr().err.count("waiting for other processes, which are at none / none, urp / none") == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[attacks.none]\n", "", "needs a clean control"),
        ("[defences.none]\n", "", "needs an undefended run"),
        ('model = "net"', 'model = "nett"', "\\[models\\] lacks 'nett'"),
        ('fit = "sparse"', 'fit = "spares"', "lacks 'spares'"),
        ("[train]", "[trian]", "trian"),
        ('name = "small"', "name = small", "not valid TOML"),
        ('name = "small"', 'name = "../evil"', "name=../evil must be of the form"),
        ('title = "A small suite"', f"title = {'[' * 100_000}", "not valid TOML: nested too deeply"),
        ('title = "A small suite"', f"seeds = [{'9' * 5000}]", "not valid TOML: a number has more than 18 digits"),
        ('title = "A small suite"', "seeds = [-1]", "seeds.0=-1 must be at least 0"),
        ('title = "A small suite"', "seeds = []", "seeds"),
        ("[attacks.urp]", "[attacks.urp.fraction.x]", "fraction"),
    ],
)
def test_errors_name_what_is_wrong(tmp_path, old, new, message):
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace(old, new))
    with pytest.raises(SettingsError, match=message):
        read_suite(path)


def test_a_suite_that_is_no_text(tmp_path):
    (tmp_path / "suite.toml").write_bytes(SUITE.encode("utf-16"))
    with pytest.raises(SettingsError, match="not UTF-8"):
        read_suite(tmp_path / "suite.toml")
    with pytest.raises(SettingsError, match=r"not a file"):
        read_suite(tmp_path)


def test_records_of_two_versions_are_not_mixed(root):
    run_suite(root / "suite.toml", root / "out", root=root)
    (root / "suite.toml").write_text(SUITE.replace("epochs = 1", "epochs = 2"))
    run_suite(root / "suite.toml", root / "out", root=root)
    with pytest.raises(SettingsError, match="different versions of the suite; move"):
        read_grid(root / "out" / "small")
    for path in (root / "out" / "small").glob("*.json"):
        if '"epochs": 2,' in path.read_text():
            path.write_text(path.read_text().replace('"device": "cpu', '"device": "cpu of another kind'))
    with pytest.raises(SettingsError, match=r"or from different machines \(cpu .*; cpu of another kind"):
        read_grid(root / "out" / "small")


def test_a_suite_goes_on_in_the_precision_it_was_begun_in(processor, root):
    processor({"avx512_bf16": True})
    first = run_suite(root / "suite.toml", root / "out", root=root)
    processor({"avx2": True})
    again = run_suite(root / "suite.toml", root / "out", root=root)
    assert [record.id for record in again] == [record.id for record in first]
    assert {record.precision for record in first} == {"bf16"}
    settings = next(record.settings for record in first if record.settings["defence"] == "fast")
    assert [settings["train"]["precision"], settings["purify"]["fast"]["precision"], settings["fit"]["precision"]] == (
        ["bf16"] * 3
    )
    asked = run_suite(root / "suite.toml", root / "out", root=root, precision="fp32")
    assert {record.precision for record in asked} == {"fp32"}
    assert not {record.id for record in asked} & {record.id for record in first}


def test_a_suite_that_fixes_its_precision_is_the_same_on_another_processor(processor, root):
    (root / "suite.toml").write_text(SUITE.replace('title = "A small suite"', 'precision = "fp32"'))
    processor({"avx512_bf16": True})
    first = run_suite(root / "suite.toml", root / "out", root=root)
    assert {record.precision for record in first} == {"fp32"}
    settings = next(record.settings for record in first if record.settings["defence"] == "fast")
    assert [settings["train"]["precision"], settings["purify"]["fast"]["precision"], settings["fit"]["precision"]] == (
        ["fp32"] * 3
    )
    processor({"avx2": True})
    again = run_suite(root / "suite.toml", root / "out", root=root)
    assert [record.id for record in again] == [record.id for record in first]


def test_the_copy_beside_the_records_is_the_suite(root):
    suite = read_suite(root / "suite.toml")
    assert suite.text() == SUITE
    changed = suite.model_copy(update={"title": 'Two "words"\n\x7f', "seeds": [0, 3]})
    assert changed.text() != SUITE
    (root / "copy.toml").write_text(changed.text())
    assert read_suite(root / "copy.toml").model_dump() == changed.model_dump()


@pytest.mark.parametrize("name", list_suites())
def test_suites_of_the_package_survive_being_written_anew(name, tmp_path):
    suite = read_suite(list_suites()[name])
    changed = suite.model_copy(update={"title": "another"})
    (tmp_path / "copy.toml").write_text(changed.text())
    assert read_suite(tmp_path / "copy.toml").model_dump() == changed.model_dump()
