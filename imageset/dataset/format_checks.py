"""Check the format of dataset.h5: are all its attributes and arrays there, as formats/hdf5.py says?"""

import re
from collections.abc import Callable
from typing import Any, Literal

import h5py
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imageset.dataset.check import EXAMPLES, Check
from imageset.formats import attributes, hdf5

MOST_COPIES = 32_767  # as imageset/runtime/sections.py has it: train_copies is int16


class Copies(BaseModel):
    """The values of section `augment` that decide how many rows there are. Older files have only `copies`."""

    model_config = ConfigDict(strict=True)

    copies: int = Field(ge=1, le=MOST_COPIES)
    balance: Literal["none", "to_median", "to_max"] = "none"
    max_copies: int = Field(default=1, ge=1, le=MOST_COPIES)


class Sections(BaseModel):
    """The attribute `params`."""

    augment: Copies
    build: dict[str, Any]


def attributes_as_format(file: h5py.File) -> Check:
    """All attributes are there, each of its type."""
    wrong = [
        f"{name} is not {meaning}" if name in file.attrs else f"{name} is missing"
        for name, (meaning, fits) in ATTRIBUTES.items()
        if name not in file.attrs or not fits(file.attrs[name])
    ]
    return Check("attributes_as_format", len(ATTRIBUTES), len(wrong), wrong[:EXAMPLES])


def is_channels(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64 and value.ndim == 1


def is_params(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(Sections.model_validate_json(value))
    except ValidationError:
        return False


ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "complete": ("true or false", lambda value: isinstance(value, np.bool_)),
    "content_digest": ("a sha256", lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))),
    "format": ("text", lambda value: isinstance(value, str)),
    "format_version": ("an integer", lambda value: isinstance(value, np.integer)),
    "mean": ("a float64 for each channel", is_channels),
    "params": ("JSON with sections augment (copies, balance, max_copies) and build", is_params),
    "std": ("a float64 for each channel", is_channels),
}


def expected_arrays(file: h5py.File) -> dict[str, tuple[int, str]]:
    """Return the number of dimensions of each array, and its dtype; "" is text of any width."""
    expected = {"label_map": (1, ""), "class_names": (1, "")}
    further = further_arrays(file) if file.attrs["format_version"] > 1 else {}
    if further and "class_ids" in file:
        expected["class_ids"] = (1, "")
    for subset in hdf5.SUBSETS:
        if subset != "validation" or any(name.startswith("validation_") for name in file):
            expected[f"{subset}_images"] = (4, "uint8")
            expected |= {
                f"{subset}_{name}": (1, dtype)
                for name, dtype in (hdf5.ROW_DTYPES | further).items()
                if name != "copies" or subset == "train"
            }
    return expected


def further_arrays(file: h5py.File) -> dict[str, str]:
    """Return the arrays that version 2 adds to each subset, and their dtypes. What one subset has, every one has."""
    has_text = any(f"{subset}_source_ids" in file for subset in hdf5.SUBSETS)
    names = [name for name in hdf5.column_names(file) if attributes.NAME.fullmatch(name)]
    columns = [f"{hdf5.COLUMN}{name}".removeprefix("_") for name in names]
    return {"groups": "int64"} | dict.fromkeys([*(["source_ids"] if has_text else []), *columns], "")


def arrays_as_format(file: h5py.File) -> Check:
    """All arrays of its version are there and no others, each with its dtype and its length."""
    expected = expected_arrays(file)
    wrong = [f"{name} is missing" for name in expected if name not in file]
    wrong += [f"{name!r} is no array of the format" for name in file if name not in expected]
    if not wrong:
        wrong = [
            f"{name} is {file[name].dtype} {file[name].shape}"
            for name, kind in expected.items()
            if not is_of_kind(file[name], *kind)
        ]
    if not wrong:
        shapes = {name: file[name].shape for name in file}
        wrong = [
            f"{name} has length {shape[0]}, {subset}_images {shapes[f'{subset}_images'][0]}"
            for name, shape in shapes.items()
            if (subset := name.partition("_")[0]) in hdf5.SUBSETS and shape[0] != shapes[f"{subset}_images"][0]
        ]
        wrong += [
            f"{name} has images of {shape[1:]}, train_images of {shapes['train_images'][1:]}"
            for name, shape in shapes.items()
            if len(shape) == 4 and shape[1:] != shapes["train_images"][1:]
        ]
    return Check("arrays_as_format", len(expected), len(wrong), wrong[:EXAMPLES])


def is_of_kind(dataset: h5py.Dataset, dimensions: int, dtype: str) -> bool:
    shape: tuple[int, ...] = dataset.shape
    square = len(shape) != 4 or (shape[1] == shape[2] > 0 and shape[3] in (1, 3))
    typed = dataset.dtype == dtype if dtype else dataset.dtype.kind == "S"
    return len(shape) == dimensions and square and typed
