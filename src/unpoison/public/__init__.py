"""The functions of `import unpoison` that speak for more than one room; the commands call them too."""
