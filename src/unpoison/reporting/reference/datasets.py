"""Names of data sets, told by what the records say of their classes."""

from __future__ import annotations

from unpoison.bench.suite import Suite
from unpoison.core.records import TrialRecord
from unpoison.data.class_names import CIFAR10, DIGITS
from unpoison.data.official.stl10 import CLASSES as STL10

_TINY_IMAGENET = 200  # classes


def dataset_name(suite: Suite, record: TrialRecord) -> str:
    """PureGen's name of the data set of a trial; another set goes by the name of the suite."""
    classes = tuple(record.details.get("per_class", {}))
    if classes == CIFAR10:  # CINIC-10 has the same
        return "cinic10" if "cinic" in str(suite.sets["train"]).lower() else "cifar10"
    if classes == STL10:
        return "stl10"
    if classes == DIGITS:
        return "digits"
    return "tinyimagenet" if len(classes) == _TINY_IMAGENET else suite.name
