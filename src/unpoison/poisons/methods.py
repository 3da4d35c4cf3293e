"""Attacks by name."""

METHODS = {
    "lsp": "unpoison.poisons.lsp:LspPoison",
    "tap": "unpoison.poisons.tap:TapPoison",
    "urp": "unpoison.poisons.urp:UrpPoison",
}
