"""The folder in which an export comes to be: it lies beside its destination, and a run that was stopped goes on in it.

.<name>.part/lock        held by the run that is at it
.<name>.part/state.json  what is exported, and how many parts of it are on the disk
.<name>.part/files/      what is written; it takes the destination's name when it is all there
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from imageset.errors import DataError
from imageset.runtime import files


class Workplace(NamedTuple):
    """An export's destination, and all that decides a byte of it, as JSON has it."""

    destination: Path
    identity: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.destination.parent / f".{self.destination.name}.part"

    @property
    def files(self) -> Path:
        return self.folder / "files"


def read(path: Path) -> dict[str, Any]:
    """Return what a file of this program's says, nothing where there is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def is_there(place: Workplace) -> bool:
    """Return whether the export is whole and in its place. Raises DataError when anything else is there."""
    if not os.path.lexists(place.destination):
        return False
    if read(place.destination / "export.json") != place.identity:
        raise DataError(f"{place.destination} exists: name a new folder")
    return True


def begin(place: Workplace) -> int:
    """Return how many parts are on the disk; where there are none, or another export's, make place for a new one."""
    state = read(place.folder / "state.json")
    is_same = state.get("identity") == place.identity
    if is_same and state["done"] and place.files.exists():
        return int(state["done"])
    if state and not is_same:
        print(f"export: {place.folder} holds a part of another export, or of another version: starting anew")
    note(place, 0)  # before anything is removed: what the last state spoke of is no longer whole
    if place.files.exists():
        shutil.rmtree(place.files)
    place.files.mkdir()
    return 0


def note(place: Workplace, done: int) -> None:
    """Note how many parts are on the disk."""
    state = {"identity": place.identity, "done": done}
    files.write_text(place.folder / "state.json", json.dumps(state, sort_keys=True))


def finish(place: Workplace) -> None:
    """Give the export its name."""
    files.write_text(place.files / "export.json", json.dumps(place.identity, indent=2, sort_keys=True) + "\n")
    os.replace(place.files, place.destination)
    files.sync(place.destination.parent)
