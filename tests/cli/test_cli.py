"""Every command has help, answers, and says in one line what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

from unpoison.cli import main as cli
from unpoison.data import read, write
from unpoison.purifiers.methods import DEFAULT


def test_help_is_fast_and_needs_no_torch():
    script = "import sys, unpoison.cli.main as m\ntry:\n    m.cli(['--help'])\nexcept SystemExit:\n    pass\n"
    script += "assert 'torch' not in sys.modules and 'pydantic' not in sys.modules"
    seconds = []
    for _ in range(3):
        before = os.times()  # of the processor: what else runs on this machine does not count
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(seconds) < 0.5


def list_commands() -> dict[str, click.Command]:
    """Every command by its words, `fit ebm` among them, and the groups."""
    group, found = cli.cli, {}
    with click.Context(group) as context:
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            found[name] = command
            found |= {f"{name} {inner}": one for inner, one in getattr(command, "commands", {}).items()}
    return found


COMMANDS = list_commands()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_is_documented(run, name):
    code, out, _ = run(*name.split(), "--help")
    assert code == 0
    assert len(out.splitlines()[2].strip()) > 20
    assert f"unpoison {name.split()[0]}" in (Path(__file__).parents[2] / "docs" / "usage.md").read_text()


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not isinstance(command, click.Group)])
def test_the_help_of_every_command_ends_with_examples_that_it_takes(run, name):
    examples = run(*name.split(), "--help")[1].rpartition("\n  Examples:\n")[2].splitlines()
    assert examples
    for example in examples:
        words = example.split()
        start = 1 + len(name.split())
        assert words[:start] == ["unpoison", *name.split()]
        COMMANDS[name].make_context(name, words[start:])  # raises where an option is wrong


def test_the_whole_way(run, make_set, tmp_path, tiny_model):
    write(make_set(24), tmp_path / "clean")
    write(make_set(12, seed=1), tmp_path / "test.npz")
    code, out, _ = run(
        "poison", tmp_path / "clean", tmp_path / "bad", "--attack", "urp", "--epsilon", "4/255", "--json"
    )
    assert code == 0
    assert json.loads(out.splitlines()[-1])["linf_255"] <= 4
    code, out, err = run(
        *("purify", tmp_path / "bad", tmp_path / "good", "--model", tiny_model, "--sigma", "20/255", "--json")
    )
    assert code == 0, err
    answer = json.loads(out.splitlines()[-1])
    assert set(answer.pop("change_255")) == {"mean", "quantiles", "per_class", "largest", "unusual"}
    assert answer == {
        "images": 24,
        "skipped": 0,
        "notes": {},
        "method": DEFAULT,
        "result": read(str(tmp_path / "good")).content_hash,
        "manifest": str(tmp_path / "good" / "manifest.json"),
        "page": str(tmp_path / "good" / "changes.html"),
        "already_done": False,
        "sigma_255": 20.0,
    }
    code, out, err = run(
        *("train", tmp_path / "good", "--test", tmp_path / "test.npz", "--out", tmp_path / "net", "--json"),
        *("--set", "epochs=1", "--set", "width=4", "--set", "batch_size=8", "--compensation"),
    )
    assert code == 0, err
    trained = json.loads(out.splitlines()[-1])
    code, out, _ = run("score", tmp_path / "net", "--test", tmp_path / "test.npz", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["value"] == trained["value"]
    code, out, _ = run(
        *("rerun", tmp_path / "good" / "manifest.json", "--out", tmp_path / "again", "--model", tiny_model, "--json"),
        *("--source", tmp_path / "clean"),
    )
    assert code == 0
    assert json.loads(out.splitlines()[-1])["same"] is True


def test_convert_keeps_everything(run, make_set, tmp_path):
    image_set = make_set(9)
    write(image_set, tmp_path / "a.npz")
    for source, target in (("a.npz", "b.parquet"), ("b.parquet", "c"), ("c", "d.npz")):
        assert run("convert", tmp_path / source, tmp_path / target)[0] == 0
    again = read(str(tmp_path / "d.npz"))
    assert again.content_hash == image_set.content_hash
    assert again.class_names == image_set.class_names


def test_fit_and_list_models(run, make_set, tmp_path):
    write(make_set(8), tmp_path / "clean.npz")
    code, _, err = run(
        *("fit", "diffusion", tmp_path / "clean.npz", "--out", tmp_path / "net.safetensors", "--profile", "digits"),
        *("--set", "iterations=2", "--set", "batch_size=4", "--set", "plots=false", "--set", "checkpoint_every=1"),
    )
    assert code == 0, err
    code, out, _ = run("models", "list", tmp_path)
    assert code == 0
    assert "net.safetensors: compact, ema" in out


def test_dry_run_prints_what_results(run, tmp_path):
    profile = tmp_path / "mine.toml"
    profile.write_text("t = 50\nclip = false\n")
    code, out, _ = run(
        *("purify", "in", "out", "--method", "eclipse", "--profile", profile, "--set", "t=75", "--dry-run")
    )
    assert code == 0
    assert json.loads(out)["settings"]["eclipse"]["t"] == 75
    assert json.loads(out)["settings"]["eclipse"]["clip"] is False
    code, out, _ = run("train", "in", "--test", "b", "--out", "c", "--profile", "eclipse,compensation", "--dry-run")
    assert json.loads(out)["settings"]["epochs"] == 80
    assert json.loads(out)["settings"]["noise_sigma"] == 0.05
    code, out, _ = run(
        *("train", "in", "--test", "b", "--out", "c", "--defence", "epic+mixup", "--compensation", "--dry-run"),
        *("--set", "epic.fraction=0.2"),
    )
    assert json.loads(out)["settings"]["noise_sigma"] == 0.05
    assert json.loads(out)["settings"]["defence"]["epic"]["fraction"] == 0.2
    assert list(json.loads(out)["settings"]["defence"]) == ["epic", "mixup"]
    code, out, _ = run("fit", "diffusion", "in", "--out", "b", "--profile", "eclipse", "--dry-run")
    assert json.loads(out)["settings"]["iterations"] == 250000
    code, out, _ = run("poison", "in", "out", "--attack", "lsp", "--epsilon", "3/255", "--dry-run")
    assert json.loads(out)["settings"]["lsp"]["epsilon"] == "3/255"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["purify", "nothing-here", "out", "--method", "jpeg"], "nothing-here: there is no such file or folder"),
        (["purify", "digits", "out", "--method", "jpg"], "did you mean 'jpeg'?"),
        (["purify", "digits", "out", "--method", "jpeg", "--sigma", "8/255"], "no setting 'sigma'"),
        (["purify", "digits", "out", "--method", "eclipse"], "eclipse needs a diffusion model: name one with --model"),
        (
            ["purify", "digits", "out", "--model", "none.safetensors"],
            "there is no model 'none.safetensors'; choose from",
        ),
        (["purify", "digits", "out", "--model", "pockt"], "did you mean 'pocket'?"),
        (
            ["purify", "digits", "out", "--sigma", "25"],
            "fast: sigma=25 is more than 1, the whole range of a pixel: did",
        ),
        (["purify", "digits", "out", "--profile", "lite"], "did you mean 'light'?"),
        (["purify", "digits", "out", "--method", "jpeg", "--set", "quality=0"], "quality=0"),
        (["purify", "digits", "out", "--method", "jpeg", "--device", "quantum"], "device 'quantum'"),
        (
            ["convert", "digits", "out", "--to", "npy"],
            "no format 'npy'; did you mean 'npz'? Choose from npz, parquet, ",
        ),
        (["poison", "digits", "out", "--attack", "lps"], "did you mean 'lsp'?"),
        (["poison", "digits", "out", "--attack", "lsp", "--epsilon", "8"], "did you mean 8/255?"),
        (["train", "digits", "--test", "digits#exam", "--out", "net"], "exam"),
        (["score", "no-net", "--test", "digits#test"], "no-net"),
        (["bench", "none.toml", "--out", "out"], "none.toml: there is no such file"),
        (["report", "no-folder"], "no-folder: there is no such file or folder"),
        (["rerun", "manifest.json", "--out", "x"], "manifest.json: there is no such file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_does_not_exist_has_a_neighbour(run):
    code, _, err = run("purfy", "a", "b")
    assert code == 2
    assert "there is no command 'purfy'; did you mean 'purify'?" in err


@pytest.mark.parametrize("option", [("--seed", "-1"), ("--batch-size", "0"), ("--steps", "0")])
def test_numbers_that_mean_nothing_are_refused(run, tmp_path, option):
    code, _, err = run("purify", "digits", tmp_path / "out", *option)
    assert code == 2
    assert option[0] in err


def test_a_job_array(run, make_set, tmp_path):
    write(make_set(300), tmp_path / "in.npz")
    arguments = ("purify", tmp_path / "in.npz", tmp_path / "out.npz", "--method", "jpeg", "--json", "--part")
    code, out, err = run(*arguments, "2/2")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1]) == {"part": "2/2", "missing_blocks": 1}
    assert not (tmp_path / "out.npz").exists()
    code, out, err = run(*arguments, "1/2")
    assert code == 0, err
    assert json.loads(out.splitlines()[-1])["images"] == 300
    assert run(*arguments, "3/2")[0] == 2
    assert "omit --engine and --workers" in run(*arguments, "1/2", "--engine", "ray")[2]
    assert (
        "--workers belongs to --engine ray" in run(*arguments[:2], tmp_path / "b", *arguments[3:6], "--workers", 2)[2]
    )


def test_a_wrong_flag_is_answered(run):
    code, _, err = run("purify", "a", "b", "--metod", "jpeg")
    assert code == 2
    assert "--method" in err


def test_bad_pictures_stop_a_run_or_are_set_aside(run, make_set, tmp_path):
    write(make_set(9), tmp_path / "in")
    bad = next((tmp_path / "in" / "c1").glob("*.png"))
    bad.write_bytes(bad.read_bytes()[:60])
    code, _, err = run("purify", tmp_path / "in", tmp_path / "out", "--method", "grayscale")
    assert code == 2
    assert bad.name in err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    code, out, err = run("purify", tmp_path / "in", tmp_path / "out2", "--method", "grayscale", "--skip-bad", "--json")
    assert code == 0
    assert json.loads(out.splitlines()[-1])["skipped"] == 1
    assert bad.name in err
    assert len(read(str(tmp_path / "out2"))) == 8
    manifest = json.loads((tmp_path / "out2" / "manifest.json").read_text())
    assert len(manifest["skipped"]) == 1
    assert np.array(read(str(tmp_path / "out2")).array()).shape == (8, 16, 16, 3)


def test_names_of_strangers_do_not_steer_the_terminal(run, make_set, tmp_path):
    """Neither as text nor as JSON, on stdout or stderr."""
    evil = "evil\x1b[31m\x9b2J\x07"
    (tmp_path / f"{evil}.safetensors").write_bytes(b"no weights")
    write(make_set(8, side=32), tmp_path / evil)
    for command in (
        ["models", "list", tmp_path],
        ["energies", tmp_path / evil],
        ["energies", tmp_path / evil, "--json"],
        ["convert", tmp_path / evil, tmp_path / f"{evil}.npz", "--json"],
        ["purify", tmp_path / evil, tmp_path / f"{evil}2", "--method", "jpeg"],
    ):
        code, out, err = run(*command)
        assert code == 0, err
        assert not set("\x07\x1b\x9b") & set(out + err)
        if "--json" in command:
            json.loads(out.splitlines()[-1])
