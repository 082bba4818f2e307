"""`python -m tests.faults.read_files FILE ...`: read dataset files in all ways, with little memory; a line for each.

A line is JSON: {"file": ..., "ImageSet": ..., "ImageSet, verify=True": ..., "tools.verify": ..., "tools.export": ...}.
A reading that ended well is a sha256 of all that was read, for each subset. Otherwise it is the exception's name.
"""

import contextlib
import hashlib
import io
import json
import os
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from imageset.errors import DataError
from imageset.formats import hdf5
from imageset.reader import ImageSet, loader
from tools.export.read import open_source, read_dataset
from tools.verify import print_checks

SPARE_BYTES = 2 << 30


def allow_little_memory(spare: int = SPARE_BYTES) -> None:
    """Let this process map no more than it has now and so many bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def read_subset(path: Path, subset: str, verify: bool) -> str:
    """Return a sha256 of all that a subset has to say."""
    images = ImageSet(path, subset, verify=verify)
    found = hashlib.sha256()
    pixels, labels = images[:]
    for array in (pixels.numpy(), labels.numpy(), images.product_ids.numpy(), images.mean.numpy(), images.std.numpy()):
        found.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())
    groups = None if images.groups is None else images.groups.tolist()
    texts = [images.classes, images.class_ids, images.catalog_ids, groups, images.source_ids.tolist()]
    columns = {name: values.tolist() for name, values in images.columns.items()}
    found.update(json.dumps([texts, columns, images.content_digest]).encode())
    for batch, targets in loader(images, 3, shuffle="blocks"):
        found.update(batch.numpy().tobytes() + targets.numpy().tobytes())
    photos = ImageSet(path, subset, augmented=False)
    assert len(photos) == len([photos[place] for place in range(len(photos))])
    return found.hexdigest()


def verify_file(path: Path) -> str:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return "passed" if print_checks(path) else "failed"


def export(path: Path) -> str:
    with contextlib.redirect_stderr(io.StringIO()), open_source(path) as file:
        return read_dataset(file, None, True).digest


def outcome(read: Callable[[], str]) -> str:
    """Return what was read, or the exception's name; of one that is not ours the text too."""
    try:
        return read()
    except DataError as error:
        return "DataError" if "\n" not in str(error) else f"DataError of two lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"


def read_file(path: Path) -> dict[str, str | list[str]]:
    """Return the outcome of each way to read a file."""
    found: dict[str, str | list[str]] = {"file": path.name}
    for name, verify in (("ImageSet", False), ("ImageSet, verify=True", True)):
        found[name] = [
            outcome(lambda subset=subset, verify=verify: read_subset(path, subset, verify))  # type: ignore[misc]
            for subset in hdf5.SUBSETS
        ]
    found["tools.verify"] = outcome(lambda: verify_file(path))
    found["tools.export"] = outcome(lambda: export(path))
    return found


def main() -> None:
    warnings.simplefilter("error")
    answers = os.fdopen(os.dup(1), "w")
    allow_little_memory()
    for name in sys.argv[1:]:
        print(json.dumps(read_file(Path(name))), file=answers, flush=True)


if __name__ == "__main__":
    main()
