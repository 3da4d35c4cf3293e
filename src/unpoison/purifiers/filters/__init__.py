"""Simple filters, no network in any: what every other purifier has to beat."""
