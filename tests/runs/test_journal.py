"""The journal keeps what was finished and forgets what was cut off, wherever it was cut."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.conftest import Halt
from unpoison.core.errors import RunError
from unpoison.data import read
from unpoison.runs.journal import Journal, read_journal
from unpoison.runs.to_files import purify_to

ENTRIES = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8), max_size=3), max_size=6)


@given(entries=ENTRIES, cut=st.integers(0, 400), extra=st.dictionaries(st.text(max_size=3), st.integers(), max_size=2))
def test_cut_anywhere_and_go_on(entries, cut, extra):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        journal = Journal(path)
        for entry in entries:
            journal.append(entry)
        journal.close()
        whole = path.read_bytes()
        path.write_bytes(whole[: max(0, len(whole) - cut)])

        journal = Journal(path)
        kept = list(journal.entries)
        assert kept == entries[: len(kept)]
        assert len(kept) >= whole[: max(0, len(whole) - cut)].count(b"\n")
        journal.append(extra)
        journal.close()
        journal = Journal(path)
        assert journal.entries == [*kept, extra]
        journal.close()


@pytest.mark.parametrize("lines", ["doubled", "copied", "both begun"])
def test_a_run_goes_on_from_journals_that_two_have_written(source, jpeg, tmp_path, tree, halt_after, lines):
    """As happens on disks without locks; and whatever else is called a journal is none."""
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=halt_after(512))
    folder = tmp_path / "out.partial"
    content = (folder / "journal").read_bytes().splitlines(keepends=True)
    if lines == "doubled":
        (folder / "journal").write_bytes(b"".join(line for line in content for _ in range(2)))
    elif lines == "copied":
        shutil.copy(folder / "journal", folder / "journal.bak")
        (folder / "journal.old").mkdir()
        (folder / "lock.old").mkdir()
    else:
        (folder / "journal").write_bytes(b"".join([content[0], *content]))
    purify_to(read(source), tmp_path / "out", jpeg)
    purify_to(read(source), tmp_path / "reference", jpeg)
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")


@pytest.mark.parametrize("entry", [{"block": "x"}, {"block": 0}, {"evil": 1}, {"block": 0, "sha256": 1, "stamp": []}])
def test_a_line_that_tells_of_no_block(source, jpeg, tmp_path, halt_after, entry):
    with pytest.raises(Halt):
        purify_to(read(source), tmp_path / "out", jpeg, on_step=halt_after(512))
    journal = Journal(tmp_path / "out.partial" / "journal")
    journal.append(entry)
    journal.close()
    with pytest.raises(RunError, match=r"tells of no block; remove .*out\.partial to begin anew"):
        purify_to(read(source), tmp_path / "out", jpeg)


@pytest.mark.parametrize("text", [b"[1]", b"1", b"[" * 100_000, b"{"])
def test_a_line_that_is_no_entry_ends_it(tmp_path, text):
    path = tmp_path / "journal"
    journal = Journal(path)
    journal.append({"block": 0})
    journal.close()
    path.write_bytes(path.read_bytes() + hashlib.sha256(text).hexdigest()[:16].encode() + b" " + text + b"\n")
    assert read_journal(path) == [{"block": 0}]


def test_a_changed_line_ends_it(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in range(3):
        journal.append({"block": number})
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b'"block":1', b'"block":7') + lines[2])
    journal = Journal(path)
    assert journal.entries == [{"block": 0}]
    journal.close()
