"""What an export format must have, and what it is given. Every module in tools/export/formats/ is a format."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple, Protocol, cast

from imageset.storage.object_keys import object_key
from tools.export import formats
from tools.export.source import Classes, Subset

FORMATS = sorted(module.name for module in iter_modules(formats.__path__))


class Photo(NamedTuple):
    """One photo to write.

    further: its values of Subset.further, by name. content: an image file, or the raw pixels if the format is not
    ENCODED.
    """

    label: int
    product_id: int
    position: int
    copy: int
    further: dict[str, Any]
    content: bytes

    @property
    def key(self) -> str:
        """The file name without an ending: as in the bucket; an augmented copy adds its number, as in 42-3_2."""
        key = object_key(self.product_id, self.position).removesuffix(".jpeg")
        return f"{key}_{self.copy}" if self.copy else key


class Format(Protocol):
    """A module tools/export/formats/<name>.py, chosen by `--to <name>`."""

    ENCODED: bool  # True: photos come as image files; False: as raw pixels
    HAS_CARD: bool  # True: README.md and croissant.json describe the files, as tools/export/card.py has it
    EXTRA_BYTES: int  # estimated bytes on the disk for each photo, besides its content
    VERSIONS: dict[str, str]  # versions of the libraries that decide the bytes

    def write_subset(
        self, folder: Path, subset: Subset, classes: Classes, photos: Iterator[Photo], encoding: str
    ) -> None:
        """Write one subset.

        Args:
            folder: The new folder of the export. Other subsets use the same folder.
            subset: The subset's name and columns.
            classes: All classes, by label.
            photos: All photos of the subset, in its order. They can be read once.
            encoding: `png`, `jpeg` or `raw`; the ending of image files.
        """


def load_format(name: str) -> Format:
    """Import a format's module."""
    return cast(Format, import_module(f"tools.export.formats.{name}"))
