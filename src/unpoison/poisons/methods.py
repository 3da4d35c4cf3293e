"""Attacks by name."""

METHODS = {
    "adp": "unpoison.poisons.attacks.adp:AdpPoison",
    "ar": "unpoison.poisons.attacks.ar:ArPoison",
    "bullseye": "unpoison.poisons.attacks.bullseye:BullseyePoison",
    "cuda": "unpoison.poisons.attacks.cuda:CudaPoison",
    "em": "unpoison.poisons.attacks.em:EmPoison",
    "entf": "unpoison.poisons.attacks.entf:EntfPoison",
    "gradient-matching": "unpoison.poisons.attacks.gradient_matching:GradientMatchingPoison",
    "hypo": "unpoison.poisons.attacks.hypo:HypoPoison",
    "lsp": "unpoison.poisons.attacks.lsp:LspPoison",
    "narcissus": "unpoison.poisons.attacks.narcissus:NarcissusPoison",
    "ops": "unpoison.poisons.attacks.ops:OpsPoison",
    "rem": "unpoison.poisons.attacks.rem:RemPoison",
    "sep": "unpoison.poisons.attacks.sep:SepPoison",
    "tap": "unpoison.poisons.attacks.tap:TapPoison",
    "urp": "unpoison.poisons.attacks.urp:UrpPoison",
}
