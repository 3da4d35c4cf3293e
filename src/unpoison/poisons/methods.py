"""Attacks by name."""

from __future__ import annotations

from typing import Any

from unpoison.core.methods import load_method

METHODS = {
    "adp": "unpoison.poisons.attacks.adp:AdpPoison",
    "ar": "unpoison.poisons.attacks.ar:ArPoison",
    "bullseye": "unpoison.poisons.attacks.bullseye:BullseyePoison",
    "cuda": "unpoison.poisons.attacks.cuda:CudaPoison",
    "dune": "unpoison.poisons.attacks.dune:DunePoison",
    "em": "unpoison.poisons.attacks.em:EmPoison",
    "entf": "unpoison.poisons.attacks.entf:EntfPoison",
    "gradient-matching": "unpoison.poisons.attacks.gradient_matching:GradientMatchingPoison",
    "hypo": "unpoison.poisons.attacks.hypo:HypoPoison",
    "lsp": "unpoison.poisons.attacks.lsp:LspPoison",
    "narcissus": "unpoison.poisons.attacks.narcissus:NarcissusPoison",
    "ops": "unpoison.poisons.attacks.ops:OpsPoison",
    "pil": "unpoison.poisons.attacks.pil:PilPoison",
    "rem": "unpoison.poisons.attacks.rem:RemPoison",
    "sep": "unpoison.poisons.attacks.sep:SepPoison",
    "tap": "unpoison.poisons.attacks.tap:TapPoison",
    "urp": "unpoison.poisons.attacks.urp:UrpPoison",
}


def load_attack(name: str) -> Any:
    """What makes an attack, called without arguments: a class of ours, or the like of one from elsewhere (`OwnAttack`).

    Raises:
        SettingsError: there is no such attack.
    """
    found = load_method(METHODS, name, kind="attack")
    from unpoison.core.own import Own

    if name in METHODS or isinstance(found, Own):
        return found
    from unpoison.poisons.own import OwnAttack

    return OwnAttack(name, found)
