"""Attacks by name."""

METHODS = {
    "lsp": "unpoison.poisons.lsp:LspPoison",
    "urp": "unpoison.poisons.urp:UrpPoison",
}
