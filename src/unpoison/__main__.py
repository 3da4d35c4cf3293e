"""`python -m unpoison`, which torchrun needs."""

from unpoison.cli.main import main

if __name__ == "__main__":
    main()
