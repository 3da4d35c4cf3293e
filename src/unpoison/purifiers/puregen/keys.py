"""The data keys by which PureGen names what was done to a set, in every spelling its versions used.

`EBMSNGAN32[cinic10_imagenet_nf[128]]_Steps[150]_T[0.0001]` says which model it was, `EBM[Steps[150]]_DDPM[T[75]]` does
not. A key becomes a purifier of ours with its settings: names that `--method` takes, fields that `--set` takes.

Reference: Bhat et al., PureGen: Universal Data Purification for Train-Time Poison Defense, 2024,
https://arxiv.org/abs/2405.18627.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from unpoison.core.errors import SettingsError

BASELINE = "Baseline"
_MAX_LENGTH = 400
_PURIFIERS = frozenset({"puregen-ebm", "puregen-ddpm", "puregen-naive", "puregen-reps", "puregen-filt"})
_ARCHITECTURES = {"ebm": "EBM", "diffusion": "DM_UNET"}  # written where only the file of the weights is known
_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
# Names may hold brackets, and one spelling omits the bracket after the name.
_PARTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?P<reps>)_reps(?P<times>\d{1,4})",
        r"(?P<jpeg>)(?:JPEG|JEPG)\[(?P<quality>\d{1,3})\]",
        r"(?P<ebm>EBM)\[Steps\[(?P<steps>\d{1,9})\]\]",
        rf"(?P<ebm>\w*EBM\w*)\[(?P<name>.+?)\]_Steps\[(?P<steps>\d{{1,9}})\](?:_T\[(?P<temperature>{_NUMBER})\])?",
        r"(?P<diffusion>DDPM)\[T\[(?P<t>\d{1,9})\]\]",
        r"(?P<diffusion>(?:DM|HF)_\w+?)\[(?P<name>.+?)\]_T\[(?P<t>\d{1,9})\](?P<reverse_only>_ReverseOnly)?",
    )
)


@dataclass(frozen=True)
class DataKey:
    """What a data key says.

    Args:
        ebm_steps: Langevin steps; None if no energy model was used.
        temperature: of the Langevin steps; None where the key does not say.
        t: diffusion steps; None if no diffusion model was used.
        reverse_only: whether no noise was added before them.
        reps: how many times both were applied, one after the other.
        quality: of JPEG; None if it was not used.
        models: `ebm` and `diffusion`, architecture and name of each, where the key says them.
    """

    ebm_steps: int | None = None
    temperature: float | None = None
    t: int | None = None
    reverse_only: bool = False
    reps: int = 1
    quality: int | None = None
    models: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def links(self) -> dict[str, dict[str, Any]]:
        """The purifiers of ours with the fields that the key says, in order; empty for the baseline.

        The two models together have no `reverse_only` here, so such a key is read and then refused by the purifier.
        """
        links: dict[str, dict[str, Any]] = {}
        if self.quality is not None:
            links["jpeg"] = {"quality": self.quality}
        diffusion = {"t": self.t, **({"reverse_only": True} if self.reverse_only else {})}
        temperature = {} if self.temperature is None else {"temperature": self.temperature}
        if self.ebm_steps is not None and self.t is not None:
            name, repeated = ("puregen-reps", {"reps": self.reps}) if self.reps > 1 else ("puregen-naive", {})
            links[name] = {"langevin_steps": self.ebm_steps, **temperature, **diffusion, **repeated}
        elif self.ebm_steps is not None:
            links["puregen-ebm"] = {"steps": self.ebm_steps, **temperature}
        elif self.t is not None:
            links["puregen-ddpm"] = diffusion
        return links

    @property
    def method(self) -> str:
        """What `--method` takes, a chain if JPEG came first; empty for the baseline."""
        return "+".join(self.links)

    @property
    def settings(self) -> dict[str, Any]:
        """What `--set` takes: fields, in a chain `name.field`."""
        links = self.links
        return {
            field if len(links) == 1 else f"{name}.{field}": value
            for name, fields in links.items()
            for field, value in fields.items()
        }


def parse_key(key: str) -> DataKey:
    """Read a data key.

    Raises:
        SettingsError: it follows none of the spellings.

    >>> found = parse_key("EBMSNGAN32[cinic10_imagenet_nf[128]]_Steps[150]_T[0.0001]")
    >>> found.method, found.settings, found.models["ebm"]
    ('puregen-ebm', {'steps': 150, 'temperature': 0.0001}, ('EBMSNGAN32', 'cinic10_imagenet_nf[128]'))
    """
    if key == BASELINE:
        return DataKey()
    found: dict[str, str] = {}
    models: dict[str, tuple[str, str]] = {}
    rest = key if len(key) <= _MAX_LENGTH else ""
    while rest:
        match = next(filter(None, (part.match(rest) for part in _PARTS)), None)
        if match is None or found.keys() & (parts := _said(match)).keys():
            break
        found |= parts
        for kind in ("ebm", "diffusion"):
            if parts.get(kind) and parts.get("name"):
                models[kind] = (parts[kind], _balanced(parts["name"]))
        found.pop("name", None)
        rest = rest[match.end() :]
        if rest.startswith("_") and not rest.startswith("_reps"):
            rest = rest[1:] or "_"
    # Only both models together are ever repeated.
    if rest or not found or ("reps" in found and not {"steps", "t"} <= found.keys()):
        raise SettingsError(f"'{key[:80]}' is no data key of PureGen, like {BASELINE}, JPEG[75] or EBM[Steps[150]]")
    return DataKey(
        ebm_steps=_integer(found.get("steps")),
        temperature=float(found["temperature"]) if "temperature" in found else None,
        t=_integer(found.get("t")),
        reverse_only="reverse_only" in found,
        reps=int(found.get("times", 1)),
        quality=_integer(found.get("quality")),
        models=models,
    )


def compose_key(key: DataKey) -> str:
    """The key in PureGen's spelling: with the models where they are known, else without.

    >>> compose_key(parse_key("JEPG[75]")), compose_key(DataKey(ebm_steps=10, t=50, reps=5))
    ('JPEG[75]', 'EBM[Steps[10]]_DDPM[T[50]]_reps5')
    """
    parts = [f"JPEG[{key.quality}]"] if key.quality is not None else []
    if key.ebm_steps is not None:
        parts.append(_ebm_part(key, key.ebm_steps))
    if key.t is not None:
        model = key.models.get("diffusion")
        part = f"{model[0]}[{model[1].replace('/', '_')}]_T[{key.t}]" if model else f"DDPM[T[{key.t}]]"
        parts.append(part + ("_ReverseOnly" if key.reverse_only and model else ""))
    return ("_".join(parts) or BASELINE) + (f"_reps{key.reps}" if key.reps > 1 else "")


def key_of(links: Mapping[str, Mapping[str, Any]]) -> DataKey | None:
    """The data key of purifiers of ours: the inverse of `DataKey.links`, with the names of the models.

    Args:
        links: purifier -> fields, as records and manifests have them; empty for none.

    Returns:
        The key; None where no key says it: other purifiers, or fewer calls than the papers'. That of `puregen-filt` is
        the key of the purified set that it takes its images from.
    """
    ours = [name for name in links if name in _PURIFIERS]
    if len(ours) > 1 or list(links) != [name for name in ("jpeg", *ours) if name in links]:
        return None
    fields = links[ours[0]] if ours else {}
    if ours == ["puregen-ebm"]:
        steps, t, names = fields["steps"], None, {"ebm": fields.get("model")}
    else:  # the counts of `puregen-filt` may be 0
        steps, t = fields.get("langevin_steps") or None, fields.get("t") or None
        names = {"ebm": fields.get("energy") if steps else None, "diffusion": fields.get("model") if t else None}
        if fields.get("steps") not in (None, t):
            return None
    return DataKey(
        ebm_steps=steps,
        temperature=fields.get("temperature") if steps else None,
        t=t,
        reverse_only=fields.get("reverse_only", False),
        reps=fields.get("reps", 1),
        quality=links["jpeg"]["quality"] if "jpeg" in links else None,
        models={kind: (_ARCHITECTURES[kind], PurePath(name).stem) for kind, name in names.items() if name},
    )


def _ebm_part(key: DataKey, steps: int) -> str:
    model = key.models.get("ebm")
    if model is None:
        return f"EBM[Steps[{steps}]]"
    return f"{model[0]}[{model[1]}]_Steps[{steps}]_T[{1e-4 if key.temperature is None else key.temperature}]"


def _said(match: re.Match[str]) -> dict[str, str]:
    return {name: value for name, value in match.groupdict().items() if value is not None}


def _balanced(name: str) -> str:
    return name + "]" * (name.count("[") - name.count("]"))


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)
