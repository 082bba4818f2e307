"""Run `python -m tools.compare`."""

from imageset.runtime import command
from tools.compare.command import main

if __name__ == "__main__":
    command.run("compare", main)
