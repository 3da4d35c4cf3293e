"""The file as the paper's code writes it."""

from __future__ import annotations

from unpoison.reporting.reference.eclipse_csv import EclipseRow, write_rows


def test_rows_without_header(tmp_path):
    path = tmp_path / "new" / "results.csv"
    rows = [
        EclipseRow(True, "resnet18", "EM", "test2000ps8000", 100, 0.4, 0.05, 82.8),
        EclipseRow(False, "vgg19", "LSP", "test2000ps8000", 100, 0.4, 0.05, 21.8),
    ]
    write_rows(path, rows)
    assert path.read_text().splitlines() == [
        "True,resnet18,EM,test2000ps8000,100,0.4,0.05,82.8",
        "False,vgg19,LSP,test2000ps8000,100,0.4,0.05,21.8",
    ]
