"""Run `python -m tools.export`."""

from tools.export.command import main

if __name__ == "__main__":
    main()
