"""PureGen's tables: read into records, and written from ours."""

from __future__ import annotations

import csv
import json

import pytest

from unpoison.bench.sections import Attack, Defence
from unpoison.bench.suite import Suite
from unpoison.core.errors import DataError
from unpoison.core.records import Metric, TrialRecord, read_records, write_record
from unpoison.data.class_names import CIFAR10
from unpoison.data.official.stl10 import CLASSES as STL10
from unpoison.purifiers.settings import purifier_settings
from unpoison.reporting.grid import make_grid
from unpoison.reporting.reference.puregen_csv import AVAILABILITY, PURIFY_TIMES, TARGETED, TRIGGERED, write_table
from unpoison.reporting.reference.puregen_export import puregen_tables
from unpoison.reporting.reference.puregen_results import read_results, results_table

KEY = "EBMSNGAN32[cinic10_imagenet_nf[128]]_Steps[150]_T[0.0001]"
ARGS = {
    "poison_type": "Narcissus",
    "poison_mode": "from_scratch",
    "seed": 11,
    "epochs": 200,
    "noise_eps_narcissus": 8,
    "num_images_narcissus": 500,
    "baseline_defense": "None",
    "ebm_filter": None,
    "device_type": "xla",
    "data_dir": "/home/somebody/data",
}
TRIGGERED_ROW = {
    "Data Key": KEY,
    "Model": "ResNet18",
    "Dataset": "cifar10",
    "Target Index": 2,
    "End Acc": 0.9292,
    "P1 Acc": 0.01390123,
    "T1 Acc": 0.91,
    "Exp Name": "",
    "Calc Time": "2024_06_01_12_30",
    "Train Time": 3690.5,
    "P2 Acc": 0.05,
    "T2 Acc": 0.9,
    "Args": json.dumps(ARGS),
    "Logs": json.dumps({"train_loss": [1.0], "test_acc": [0.5, 0.93, 0.9292], "p_acc": [0.1], "t_acc": [0.8]}),
}


def table(tmp_path, columns=TRIGGERED, **changes):
    row = {**{column: TRIGGERED_ROW.get(column, "") for column in columns}, **changes}
    write_table(tmp_path / "Results.csv", columns, [row])
    return tmp_path / "Results.csv"


def args(**changes):
    return json.dumps({**ARGS, **changes})


def test_a_row_with_a_trigger_becomes_a_record(tmp_path):
    (record,) = read_results(table(tmp_path))
    assert record.settings["attack"] == "Narcissus"
    assert record.settings["poison"] == {"attack": "narcissus", "epsilon": "8/255", "images": 500}
    assert record.settings["purify"] == {
        "method": "puregen-ebm",
        "puregen-ebm": {"steps": 150, "temperature": 1e-4},
    }
    assert record.settings["train"] == {"model": "resnet18", "mode": "scratch", "epochs": 200}
    assert (record.settings["seed"], record.settings["case"]) == (11, {"target_class": 2})
    assert (record.metrics["accuracy"].value, record.metrics["accuracy"].n) == (0.9292, 10_000)
    success = record.metrics["success_x1"]
    assert (success.value, success.n) == (0.01390123, 9_000)
    assert success.low < success.value < success.high
    assert record.metrics["success_x2"].value == 0.05
    assert record.details["peak_accuracy"] == 0.93
    assert record.details["true_class_x1"] == 0.91
    assert (record.seconds, record.device) == ({"train": 3690.5}, "xla")
    assert "somebody" not in record.model_dump_json()
    write_record(tmp_path / "records", record)
    assert read_records(tmp_path / "records") == [record]


def test_a_row_with_a_target(tmp_path):
    path = table(
        tmp_path,
        TARGETED,
        **{"Data Key": "DDPM[T[125]]", "Success": True, "Correct Pred": False, "Dataset": "tinyimagenet"},
        Args=args(poison_type="BullseyePolytope", poison_mode="linear_transfer", ebm_filter=0.5),
    )
    (record,) = read_results(path)
    assert record.metrics["success"].value == 1
    assert record.metrics["success"].n == 1
    assert record.settings["case"] == {"target_index": 2}
    assert record.settings["poison"] == {"attack": "bullseye"}
    assert record.settings["train"]["mode"] == "linear"
    assert record.settings["defence"] == "DDPM[T[125]]+Filt[0.5]"
    filtered = {"fraction": 0.5, "langevin_steps": 0, "t": 125}
    assert record.settings["purify"] == {"method": "puregen-filt", "puregen-filt": filtered}
    assert purifier_settings("puregen-filt", overrides=filtered)
    assert record.details["true_class"] is False
    assert record.metrics["accuracy"].n == 10_000


def test_a_config_file_makes_texts_of_values(tmp_path):
    path = table(tmp_path, Args=args(ebm_filter="None"))
    (record,) = read_results(path)
    assert record.settings["defence"] == KEY
    assert record.settings["purify"]["method"] == "puregen-ebm"
    (record,) = read_results(table(tmp_path, Args=args(ebm_filter="0.5")))
    assert record.settings["purify"]["puregen-filt"] == {
        "fraction": 0.5, "langevin_steps": 150, "t": 0, "temperature": 1e-4,
    }  # fmt: skip
    (record,) = read_results(table(tmp_path, Args=args(ebm_filter=0.5), **{"Data Key": "JPEG[75]"}))
    assert record.settings["purify"]["method"] == "jpeg"


def test_a_row_of_an_availability_attack_is_one_of_several_seeds(tmp_path):
    path = table(
        tmp_path, AVAILABILITY, **{"Data Key": "Baseline", "Dataset": "cinic10"}, Args=args(poison_type="NeuralTangent")
    )
    (record,) = read_results(path)
    assert record.settings["seed"] == 13
    assert record.settings["purify"] == {}
    assert "case" not in record.settings
    assert list(record.metrics) == ["accuracy"]
    assert record.metrics["accuracy"].n == 90_000


def test_without_its_arguments_the_columns_tell(tmp_path):
    (record,) = read_results(table(tmp_path, Args="", Logs="", **{"Target Index": "3.0"}))
    assert record.settings["poison"] == {"attack": "narcissus"}
    assert record.settings["case"] == {"target_class": 3}
    assert record.details["peak_accuracy"] == 0.9292


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"End Acc": 92.9}, "End Acc is 92.9, not a share"),
        ({"End Acc": "nan"}, "End Acc is no number"),
        ({"End Acc": ""}, "End Acc is no number"),
        ({"P1 Acc": -0.1}, "P1 Acc is -0.1, not a share"),
        ({"Dataset": "mnist"}, "data set 'mnist' is none of cifar10"),
        ({"Data Key": "my_key"}, "'my_key' is no data key"),
        ({"Data Key": ""}, "'' is no data key"),
        ({"Args": "{"}, "Args is not JSON"),
        ({"Args": "[" * 100_000}, "Args is not JSON"),
        ({"Args": "[1]"}, "Args is no JSON object"),
        ({"Args": args(seed="a")}, "seed in Args is no whole number"),
        ({"Args": args(ebm_filter="half")}, "ebm_filter in Args is 'half'"),
        ({"Args": args(noise_eps_narcissus="x" * 5000)}, "noise_eps_narcissus in Args"),
        ({"Logs": '{"test_acc": [2]}'}, "test_acc in Logs"),
        ({"Target Index": "cat"}, "Target Index is no number"),
        ({"Args": "x" * 200_000}, "no table of text"),
    ],
)
def test_what_a_row_cannot_mean_is_refused(tmp_path, changes, problem):
    with pytest.raises(DataError) as caught:
        read_results(table(tmp_path, **changes))
    text = str(caught.value)
    assert problem in text
    assert "Results.csv" in text
    assert "\n" not in text
    assert len(text) < 400


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no column 'Data Key'"):
        read_results(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no table of text"):
        read_results(tmp_path / "a.csv")
    with pytest.raises(DataError, match="cannot be read"):
        read_results(tmp_path / "none.csv")
    row = {**TRIGGERED_ROW, "Success": "maybe"}
    write_table(tmp_path / "Results.csv", TARGETED, [{column: row.get(column, "") for column in TARGETED}])
    with pytest.raises(DataError, match="line 2: Success is neither True nor False"):
        read_results(tmp_path / "Results.csv")


def test_the_table_has_means_over_targets(tmp_path):
    rows = [
        {**TRIGGERED_ROW, "Target Index": t, "P1 Acc": p, "End Acc": a} for t, p, a in ((0, 0.1, 0.9), (1, 0.3, 0.8))
    ]
    other = {**TRIGGERED_ROW, "Data Key": "Baseline", "Model": "Res\n|Net"}
    write_table(tmp_path / "Results.csv", TRIGGERED, [*rows, other])
    lines = results_table(read_results(tmp_path / "Results.csv")).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith(
        f"| cifar10 | Narcissus | scratch | ResNet18 | {KEY} | 2 | 85.00 ± 7.07 | 20.00 ± 14.14 | 30.00"
    )
    assert "| Res Net | Baseline | 1 | 92.92 | 1.39 | 1.39 |" in lines[3]


SUITE = Suite(
    name="narcissus-small",
    sets={"train": "a", "test": "b"},
    attacks={
        "none": Attack(),
        "trigger": Attack(attack="narcissus", cases={"target_class": ["bird", "cat"]}),
        "target": Attack(attack="bullseye", cases={"target_index": [16, 31]}),
    },
    defences={
        "none": Defence(),
        "ebm": Defence(purify="puregen-ebm"),
        "filt": Defence(purify="puregen-filt"),
        "fast": Defence(purify="fast"),
        "cc": Defence(train_profile=["compensation"]),
    },
)
PURIFIED = {
    "none": {},
    "cc": {},
    "ebm": {
        "method": "puregen-ebm",
        "seed": 0,
        "puregen-ebm": {"model": "ebm32.safetensors", "steps": 150, "temperature": 1e-4, "precision": "bf16"},
    },
    "filt": {
        "method": "puregen-filt",
        "puregen-filt": {"energy": "e.safetensors", "model": "d.safetensors", "langevin_steps": 0, "t": 125},
    },
    "fast": {"method": "fast", "fast": {"sigma": "25/255"}},
}


def share(value, n=100):
    return Metric(value=value, n=n, low=value, high=value)


def record(number, attack, defence, case=None, metrics=None, mode=None):
    poison = SUITE.attacks[attack].attack
    names = metrics or {}
    return TrialRecord(
        id=f"{number:016d}",
        suite=SUITE.name,
        settings={
            "attack": attack,
            "defence": defence,
            "poison": {"attack": poison} if poison else {},
            "purify": PURIFIED[defence],
            "train": {"model": "resnet18", **({"mode": mode} if mode else {})},
            "seed": 0,
            **({"case": case} if case else {}),
        },
        inputs={},
        metrics={"accuracy": share(0.5 + number / 100), **{name: share(value) for name, value in names.items()}},
        details={"peak_accuracy": 0.9, "per_class": {"plane": 0.5, "bird": 0.5, "cat": 0.5}},
        versions={},
        device="cpu",
        seconds={"train": 7.0, "purify": 3.5 if defence == "ebm" and number == 2 else 0.0},
    )


def triggered(x1, x2):
    return {
        name: value
        for scale, value in ((1, x1), (2, x2), (3, 1.0))
        for name in (f"success_x{scale}", f"clean_success_x{scale}")
    }


RECORDS = [
    record(1, "trigger", "none", {"target_class": "cat"}, triggered(0.7, 0.8)),
    record(2, "trigger", "ebm", {"target_class": "bird"}, triggered(0.1, 0.2)),
    record(3, "trigger", "none", {"target_class": "bird"}, triggered(0.6, 0.9)),
    record(4, "trigger", "fast", {"target_class": "bird"}, triggered(0.3, 0.4)),
    record(5, "trigger", "cc", {"target_class": "bird"}, triggered(0.3, 0.4)),
    record(6, "target", "filt", {"target_index": 31}, {"success": 1.0, "clean_success": 0.0}, mode="linear"),
    record(7, "none", "none"),
]


def test_our_records_in_their_columns(tmp_path):
    tables = puregen_tables(make_grid(SUITE, RECORDS))
    assert set(tables) == {
        "From_Scratch/Narcissus/Results.csv",
        "Linear_Transfer/Bullseyepolytope/Results.csv",
        "From_Scratch/Clean/Results.csv",
        "PurifyTimes.csv",
    }
    narcissus = tables["From_Scratch/Narcissus/Results.csv"]
    assert narcissus.columns == TRIGGERED
    found = [(row["Data Key"], row["Target Index"], row["P1 Acc"], row["P2 Acc"]) for row in narcissus.rows]
    assert found == [
        ("Baseline", 1, 0.6, 0.9),
        ("Baseline", 2, 0.7, 0.8),
        ("EBM[ebm32]_Steps[150]_T[0.0001]", 1, 0.1, 0.2),
    ]
    assert {row["Model"] for row in narcissus.rows} == {"ResNet18"}
    bullseye = tables["Linear_Transfer/Bullseyepolytope/Results.csv"]
    assert bullseye.columns == TARGETED
    assert [(row["Data Key"], row["Target Index"], row["Success"]) for row in bullseye.rows] == [
        ("DM_UNET[d]_T[125]", 1, True)
    ]
    assert "puregen-filt" in bullseye.rows[0]["Args"]  # the key does not say that a part was left unpurified
    assert tables["From_Scratch/Clean/Results.csv"].columns == AVAILABILITY
    times = tables["PurifyTimes.csv"]
    assert times.columns == PURIFY_TIMES
    assert [(row["Data Key"], row["Purify Time"]) for row in times.rows] == [("EBM[ebm32]_Steps[150]_T[0.0001]", 3.5)]


def test_what_is_written_is_read_again(tmp_path):
    exported = puregen_tables(make_grid(SUITE, RECORDS))["From_Scratch/Narcissus/Results.csv"]
    write_table(tmp_path / "Results.csv", exported.columns, [{**row, "Dataset": "cifar10"} for row in exported.rows])
    again = read_results(tmp_path / "Results.csv")
    assert {record.settings["attack"] for record in again} == {"Narcissus"}
    bullseye = puregen_tables(make_grid(SUITE, RECORDS))["Linear_Transfer/Bullseyepolytope/Results.csv"]
    write_table(tmp_path / "bullseye.csv", bullseye.columns, [{**row, "Dataset": "cifar10"} for row in bullseye.rows])
    (linear,) = read_results(tmp_path / "bullseye.csv")
    assert (linear.settings["attack"], linear.settings["train"]["mode"]) == ("BullseyePolytope", "linear")
    assert [record.metrics["success_x1"].value for record in again] == [0.6, 0.7, 0.1]
    assert again[2].settings["purify"]["puregen-ebm"] == {"steps": 150, "temperature": 1e-4}
    with open(tmp_path / "Results.csv", newline="") as file:
        assert tuple(next(csv.reader(file))) == TRIGGERED


@pytest.mark.parametrize(
    ("classes", "train", "named"),
    [
        (CIFAR10, "cifar10-jpeg#train", "cifar10"),
        (CIFAR10, "CINIC-10#train", "cinic10"),
        (STL10, "stl10_binary", "stl10"),
        ([f"n{number:08d}" for number in range(200)], "hub", "tinyimagenet"),
        (["plane", "bird", "cat"], "mine", SUITE.name),
    ],
)
def test_data_sets_have_their_names(classes, train, named):
    suite = SUITE.model_copy(update={"sets": {**SUITE.sets, "train": train}})
    made = record(2, "trigger", "ebm", {"target_class": classes[2]}, triggered(0.1, 0.2))
    made = made.model_copy(update={"details": {**made.details, "per_class": dict.fromkeys(classes, 0.5)}})
    tables = puregen_tables(make_grid(suite, [made]))
    assert {row["Dataset"] for table in tables.values() for row in table.rows} == {named}
    assert tables["From_Scratch/Narcissus/Results.csv"].rows[0]["Target Index"] == 2


def test_no_times_where_nothing_was_purified():
    assert list(puregen_tables(make_grid(SUITE, RECORDS[:1]))) == ["From_Scratch/Narcissus/Results.csv"]


def test_suites_of_other_kinds_get_no_tables():
    assert puregen_tables(make_grid(SUITE, [RECORDS[-1]])) == {}
