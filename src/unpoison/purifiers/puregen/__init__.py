"""The purifiers of PureGen, and the keys of its released sets."""
