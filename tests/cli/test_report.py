"""`report` writes PureGen's tables, and imports them."""

from __future__ import annotations

import csv
import json

from unpoison.core.records import Metric, TrialRecord, read_records, write_record
from unpoison.reporting.reference.puregen_csv import TRIGGERED, write_table

KEY = "EBMSNGAN32[cinic10_imagenet_nf[128]]_Steps[150]_T[0.0001]"


def test_the_command_imports(run, tmp_path):
    path = tmp_path / "Results.csv"
    row = {"Data Key": KEY, "Model": "ResNet18", "Dataset": "cifar10", "Target Index": 2, "End Acc": 0.9, "P1 Acc": 0.1}
    write_table(path, TRIGGERED, [row])
    code, out, err = run("report", path, "--out", tmp_path / "records", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"records": 1, "folder": str(tmp_path / "records")}
    assert len(read_records(tmp_path / "records")) == 1
    assert KEY in (tmp_path / "records" / "table.md").read_text()
    for wrong in ((path,), (tmp_path, "--out", tmp_path / "x")):
        code, _, err = run("report", *wrong)
        assert code == 2
        assert "report Results.csv --out" in err


SUITE = """
name = "s"
[sets]
train = "digits#train"
test = "digits#test"
[attacks.none]
[attacks.bullseye]
attack = "bullseye"
cases = { target_index = [40, 50] }
[defences.none]
[defences.jpeg]
purify = "jpeg"
"""


def test_report_writes_them(run, tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE)
    half = Metric(value=0.5, n=10, low=0.2, high=0.8)
    for number, (attack, defence, case) in enumerate(
        [("none", "none", None), ("bullseye", "none", 50), ("bullseye", "jpeg", 40)]
    ):
        record = TrialRecord(
            id=f"{number:016d}",
            suite="s",
            settings={
                "attack": attack,
                "defence": defence,
                "poison": {"attack": attack} if case else {},
                "purify": {"method": "jpeg", "jpeg": {"quality": 10}} if defence == "jpeg" else {},
                "train": {"model": "resnet18", "grayscale_probability": 0.0, "noise_sigma": 0.0},
                "seed": 0,
                **({"case": {"target_index": case}} if case else {}),
            },
            inputs={},
            metrics={"accuracy": half, **({"success": half, "clean_success": half} if case else {})},
            details={"peak_accuracy": 0.5, "per_class": {}, "train_images": 10},
            versions={},
            device="cpu",
            seconds={"train": 1.0, "purify": 2.5 * (defence == "jpeg")},
        )
        write_record(tmp_path, record)
    code, _, err = run("report", tmp_path)
    assert (code, err) == (0, "")
    with open(tmp_path / "puregen" / "From_Scratch" / "Bullseyepolytope" / "Results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["Data Key"], row["Target Index"]) for row in rows] == [("Baseline", "1"), ("JPEG[10]", "0")]
    times = (tmp_path / "puregen" / "PurifyTimes.csv").read_text().splitlines()
    assert len(times) == 2
    assert times[1].startswith("JPEG[10],s,2.5,")
