"""The file as the paper's code writes it."""

from __future__ import annotations

from unpoison.scoring.eclipse_csv import EclipseRow, append_row


def test_rows_are_added_without_header(tmp_path):
    path = tmp_path / "new" / "results.csv"
    append_row(path, EclipseRow(True, "resnet18", "EM", "test2000ps8000", 100, 0.4, 0.05, 82.8))
    append_row(path, EclipseRow(False, "vgg19", "LSP", "test2000ps8000", 100, 0.4, 0.05, 21.8))
    assert path.read_text().splitlines() == [
        "True,resnet18,EM,test2000ps8000,100,0.4,0.05,82.8",
        "False,vgg19,LSP,test2000ps8000,100,0.4,0.05,21.8",
    ]
