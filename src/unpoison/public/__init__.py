"""The functions of `import unpoison` that speak for more than one room; the commands call them too."""

AUTO = "auto"  # in place of a method: the one that an audit of the set advises
