"""The tables that PureGen writes: `Results.csv`, one line a classifier, and `PurifyTimes.csv`.

The columns of the former depend on the attack: with a trigger (`P1 Acc` and `P2 Acc` are its success times 1 and 2),
with a target (`Success`), or on the whole set (accuracy alone). All figures are shares from 0 to 1.

Reference: Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense, 2024,
https://arxiv.org/abs/2405.18627.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unpoison.core.files import write_text

TRIGGERED = (
    "Data Key", "Model", "Dataset", "Target Index", "End Acc", "P1 Acc", "T1 Acc", "Exp Name", "Calc Time",
    "Train Time", "P2 Acc", "T2 Acc", "Args", "Logs",
)  # fmt: skip
TARGETED = (
    "Data Key", "Model", "Dataset", "Target Index", "End Acc", "Success", "Correct Pred", "Exp Name", "Calc Time",
    "Args", "Logs", "Train Time",
)  # fmt: skip
AVAILABILITY = (
    "Model", "Dataset", "Data Key", "Target Index", "End Acc", "Exp Name", "Calc Time", "Args", "Logs", "Train Time",
)  # fmt: skip
PURIFY_TIMES = ("Data Key", "Dataset", "Purify Time", "Args")

# Their names of classifiers and attacks, and ours.
MODELS = {
    "ResNet18": "resnet18", "ResNet18_HLB": "resnet18", "ResNet34": "resnet34", "MobileNetV2": "mobilenetv2",
    "DenseNet121": "densenet121", "HLB_S": "hlb-s", "HLB_M": "hlb-m", "HLB_L": "hlb-l", "ViT": "vit",
}  # fmt: skip
ATTACKS = {
    "Narcissus": "narcissus", "GradientMatching": "gradient-matching", "BullseyePolytope": "bullseye",
    "BullseyePolytope_Bench": "bullseye", "NeuralTangent": "ntga",
}  # fmt: skip


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV with a header in one piece; what a row lacks stays empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
