"""Attacks by name."""

METHODS = {
    "adp": "unpoison.poisons.adp:AdpPoison",
    "ar": "unpoison.poisons.ar:ArPoison",
    "bullseye": "unpoison.poisons.bullseye:BullseyePoison",
    "cuda": "unpoison.poisons.cuda:CudaPoison",
    "em": "unpoison.poisons.em:EmPoison",
    "entf": "unpoison.poisons.entf:EntfPoison",
    "gradient-matching": "unpoison.poisons.gradient_matching:GradientMatchingPoison",
    "hypo": "unpoison.poisons.hypo:HypoPoison",
    "lsp": "unpoison.poisons.lsp:LspPoison",
    "narcissus": "unpoison.poisons.narcissus:NarcissusPoison",
    "ops": "unpoison.poisons.ops:OpsPoison",
    "rem": "unpoison.poisons.rem:RemPoison",
    "sep": "unpoison.poisons.sep:SepPoison",
    "tap": "unpoison.poisons.tap:TapPoison",
    "urp": "unpoison.poisons.urp:UrpPoison",
}
