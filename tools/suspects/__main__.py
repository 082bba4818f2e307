"""Run `python -m tools.suspects`."""

from imageset.runtime import command
from tools.suspects.command import main

if __name__ == "__main__":
    command.run("suspects", main)
