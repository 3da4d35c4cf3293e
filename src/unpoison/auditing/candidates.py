"""Candidates: the purifications that advice chooses among, the weakest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unpoison.core.settings import Settings
from unpoison.purifiers.methods import DEFAULT
from unpoison.purifiers.settings import purifier_settings


@dataclass(frozen=True)
class Candidate:
    """A purification that may be advised.

    Args:
        method: a purifier, or several joined by `+`.
        profiles: names of its profiles.
        settings: further settings, in a chain `purifier.field`.
    """

    method: str
    profiles: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> dict[str, Settings]:
        """All its settings, as a run takes them."""
        return purifier_settings(self.method, profiles=self.profiles, overrides=self.settings)

    def describe(self) -> dict[str, Any]:
        """It as manifests keep it."""
        return {"method": self.method, "profiles": list(self.profiles), "settings": dict(self.settings)}

    def __str__(self) -> str:
        profile = f" --profile {','.join(self.profiles)}" if self.profiles else ""
        return self.method + profile + "".join(f" --set {name}={value}" for name, value in self.settings.items())


LIGHT = Candidate(DEFAULT, ("light",))  # the same filters, and less noise
NORMAL = Candidate(DEFAULT)  # also where an audit cannot tell

# In the order of what a classifier trained on clean pictures loses by them. JPEG is for high frequencies, of which the
# others let more pass.
CANDIDATES = (LIGHT, NORMAL, Candidate("jpeg", settings={"quality": 10}))


def find_candidate(described: Any) -> Candidate | None:
    """The candidate that a manifest describes; None if it is none of them, whatever else stands there."""
    return next((one for one in CANDIDATES if one.describe() == described), None)
