"""What was planted in a project, as a file that is kept outside of it."""

import json
from pathlib import Path
from typing import NamedTuple

from imageset.runtime import files


class Truth(NamedTuple):
    """What was planted, by product_id. Every product has one photo, at position 0.

    flips: the right class of each photo that got another. masks: photos whose mask was damaged. off_topic: pictures
    that are no garments. pairs: a photo and its copy. given: the class that the source gives each product.
    """

    seed: int
    flips: dict[int, int]
    masks: list[int]
    off_topic: list[int]
    pairs: list[tuple[int, int]]
    given: dict[int, int]

    @property
    def planted(self) -> set[int]:
        """All products that have something planted."""
        return {*self.flips, *self.masks, *self.off_topic, *(photo for pair in self.pairs for photo in pair)}

    def write(self, path: Path) -> None:
        files.write_text(path, json.dumps(self._asdict()) + "\n")


def read_truth(path: Path) -> Truth:
    """Return what `Truth.write` wrote."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return Truth(
        found["seed"],
        {int(photo): right for photo, right in found["flips"].items()},
        found["masks"],
        found["off_topic"],
        [(photo, copy) for photo, copy in found["pairs"]],
        {int(photo): given for photo, given in found["given"].items()},
    )
