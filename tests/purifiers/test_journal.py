"""The journal keeps what was finished and forgets what was cut off, wherever it was cut."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from unpoison.purifiers.journal import Journal

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
