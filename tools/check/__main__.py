"""Run `python -m tools.check`."""

from imageset.runtime import command
from tools.check.command import main

if __name__ == "__main__":
    command.run("check", main)
