"""The command line: thin, and free of torch until a command runs."""
