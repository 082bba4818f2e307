"""`python -m tools.open_page`: open data/report.html, the page that people decide and work with, in the browser."""

import argparse
import os
import sys
import webbrowser
from pathlib import Path

from imageset.errors import DataError
from imageset.runtime import command

PAGE = Path("data/report.html")
OF_A_SCREEN = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")  # without these, there are browsers of the terminal at most


def main() -> None:
    """Open data/report.html in the browser, and say where it is: on a machine without a screen that is all."""
    argparse.ArgumentParser("python -m tools.open_page", description=main.__doc__).parse_args()
    if not PAGE.is_file():
        raise DataError(f"{PAGE} is missing: `dvc pull {PAGE}` fetches it, or `dvc repro` makes it")
    page = PAGE.resolve()
    if has_screen() and webbrowser.open(page.as_uri()):
        print(f"report: opened {page}")
    else:
        print(f"report: there is no browser here: open {page} in one, on this machine or another")


def has_screen() -> bool:
    return sys.platform == "darwin" or any(os.environ.get(name) for name in OF_A_SCREEN)


if __name__ == "__main__":
    command.run("report", main)
