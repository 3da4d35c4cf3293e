"""A suite's own figures beside published ones."""
