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

from imageset import files
from imageset.errors import DataError


class Workplace(NamedTuple):
    """An export's destination, its parts and what it is of: all that decides a byte of it, as JSON has it."""

    destination: Path
    parts: int
    identity: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.destination.parent / f".{self.destination.name}.part"

    @property
    def files(self) -> Path:
        return self.folder / "files"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def is_done(self) -> bool:
        """Whether it is all in its place, and only tidying up is left: the run was killed in between."""
        return not self.files.exists() and self.destination.exists() and noted(self) == self.parts

    @property
    def holds_another(self) -> bool:
        """Whether the state is of another export."""
        return bool(read_state(self.state).get("identity", self.identity) != self.identity)

    @property
    def done(self) -> int:
        """How many parts are on the disk."""
        return max(noted(self), 0) if self.files.exists() else 0


def noted(place: Workplace) -> int:
    """Return how many parts of this export the state speaks of, -1 where it is another's, or there is none."""
    state = read_state(place.state)
    return int(state["done"]) if state.get("identity") == place.identity else -1


def read_state(path: Path) -> dict[str, Any]:
    """Return what was written last, nothing where that is nothing, or not of this program."""
    try:
        state = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def require_room(destination: Path) -> None:
    """Raise DataError when the destination is not to be taken: it holds something, or is no folder that can be."""
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise DataError(f"{destination} is not an empty folder: name a new one")
    if destination.is_mount():
        raise DataError(f"{destination} is where a disk is mounted: name a new folder in it")


def begin(place: Workplace) -> None:
    """Make place for a new export, in which another may have been begun."""
    note(place, 0)  # before anything is removed: what the last state spoke of is no longer whole
    if place.files.exists():
        shutil.rmtree(place.files)
    place.files.mkdir()


def note(place: Workplace, done: int) -> None:
    """Note how many parts are on the disk."""
    files.write_text(place.state, json.dumps({"identity": place.identity, "done": done}, sort_keys=True))


def finish(place: Workplace) -> None:
    """Give the export its name, and tidy up."""
    if place.files.exists():
        files.sync(place.files)
        os.replace(place.files, place.destination)
        files.sync(place.destination.parent)
    place.lock.unlink(missing_ok=True)
    shutil.rmtree(place.folder, ignore_errors=True)
