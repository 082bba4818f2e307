"""Run `python -m tools.plan`."""

from imageset.runtime import command
from tools.plan.command import main

if __name__ == "__main__":
    command.run("plan", main)
