"""What can be refused without torch is refused before torch is imported, and before anything is computed."""

from __future__ import annotations

import json
import subprocess
import sys

from unpoison.data import write

_MISTAKES = [
    ["purify", "nothing", "out"],
    ["purify", "in.npz", "out", "--method", "jpeg+fsat"],
    ["purify", "in.npz", "out", "--profile", "stronk"],
    ["purify", "in.npz", "out", "--set", "sgima=25/255"],
    ["purify", "in.npz", "out", "--method", "puregen-reps", "--set", "energy=mine.safetensors"],
    ["distances", "in.npz", "in.npz", "--method", "eclipse", "--set", "t=0"],
    ["purify", "in.npz", "in.npz/out"],
    ["purify", "in.npz", "out", "--part", "3/2"],
    ["poison", "in.npz", "out", "--attack", "lps"],
    ["poison", "in.npz", "in.npz", "--attack", "lsp"],
    ["train", "in.npz", "--test", "nothing", "--out", "net"],
    ["train", "in.npz", "--test", "in.npz", "--out", "net", "--model", "resnet81"],
    ["train", "in.npz", "--test", "in.npz", "--out", "net", "--set", "epochs=0"],
    ["train", "in.npz", "--test", "in.npz", "--out", "in.npz/net"],
    ["fit", "ebm", "in.npz", "--out", "in.npz/net.safetensors"],
    ["fit", "diffusion", "in.npz", "--out", "."],
    ["energies", "in.npz", "--out", "."],
    ["distances", "in.npz", "nothing", "--method", "puregen-ebm"],
    ["convert", "nothing", "out"],
    ["rerun", "in.npz", "--out", "in.npz"],
    ["bench", "nothing.toml", "--out", "out"],
    ["score", "net", "--test", "in.npz"],
    ["train", "in.npz", "--test", "in.npz", "--out", "net", "--init", "body"],
    ["purify", "in.npz", "out", "--model", "mine.safetensors"],
    ["models", "import", "mine.pt", "--out", "mine.safetensors"],
    ["report", "results"],
    ["demo", "--out", "in.npz/demo"],
]

_SCRIPT = """
import contextlib, io, json, sys
from unpoison.cli.main import main
from unpoison.core import progress
progress._FIRST_S = 60
for arguments in json.loads(sys.stdin.read()):
    sys.argv = ["unpoison", *arguments]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            main()
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([arguments, code, "torch" in sys.modules, said.getvalue()]))
"""


def test_a_mistake_needs_no_torch(make_set, tmp_path):
    write(make_set(4), tmp_path / "in.npz")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], input=json.dumps(_MISTAKES), cwd=tmp_path, capture_output=True, text=True
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(_MISTAKES), done.stderr
    for arguments, code, has_torch, said in answers:
        assert (code, has_torch) == (2, False), arguments
        assert said.startswith("unpoison: "), said
        assert len(said.splitlines()) == 1, said
    assert [path.name for path in tmp_path.iterdir()] == ["in.npz"]
