"""Run `python -m tools.export`."""

from imageset.runtime import command
from tools.export.command import main

if __name__ == "__main__":
    command.run("export", main)
