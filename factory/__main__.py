"""``python -m factory`` is the same as ``factory``."""

from factory.cli.main import main

if __name__ == "__main__":
    main()
