"""The identity of a trial: everything that was asked for, whose hash with those of the inputs is the record's id."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from unpoison.bench.own import OWN
from unpoison.core.records import trial_id

# Transfers once had these settings, without a use for them: the ids of their trials are made from them, too.
OF_BODY = {"normalise": True, "width": 64}


class TrialSettings(BaseModel):
    """What was asked for in a trial.

    An id must never change, or every suite would be run again: a field that is added is None where it is not used, and
    is then left out of what is hashed. What changes the meaning of a field takes another version.

    Args:
        version: of this form.
        attack: name of the row.
        defence: name of the column.
        poison: attack, seed and every setting of the poison; empty for the clean control.
        purify: method, seed and every setting of the purifier; empty without one.
        fit: every setting of the fit of the purifier's model; empty if the suite fits none.
        fit_energy: the same of its energy model.
        train: architecture and every setting of the training; of a transfer also `mode`, and the settings of the body.
            Where one of these is not unpoison's, `own methods` has its class and the hash of its code.
        seed: of poison, purification and training.
        case: field and value of the attack's case.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    attack: str
    defence: str
    poison: dict[str, Any]
    purify: dict[str, Any]
    fit: dict[str, Any]
    fit_energy: dict[str, Any] | None = None
    train: dict[str, Any]
    seed: int
    case: dict[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """As records keep it and as it is hashed; the first version goes without its number."""
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "version"}
        return {name: value for name, value in fields.items() if value is not None}

    def own(self) -> dict[str, str]:
        """The classes of methods that are not unpoison's, by their names in the suite."""
        body = self.train.get("body", {})
        found = [stage.get(OWN, {}) for stage in (self.poison, self.purify, self.train, body)]
        return {name: facts["class"] for methods in found for name, facts in methods.items()}

    def id(self, inputs: dict[str, str]) -> str:
        """The id of the trial.

        Args:
            inputs: content hashes of data and weights used.
        """
        return trial_id(self.as_json(), inputs)
