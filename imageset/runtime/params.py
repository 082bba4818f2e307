"""Strict loading of one section of params.yaml into the stage's own model."""

from collections.abc import Hashable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from imageset.errors import ParamsError

PARAMS = Path("params.yaml")
# Of all stages, so that a misspelt one is found by the first stage and not by the one that misses it.
SECTIONS = ("source", "ingest", "model", "preprocess", "duplicates", "catalog", "split", "augment", "build", "report")


class Section(BaseModel):
    """Base of a stage's params: no unknown key, no silent conversion, no infinity, no change after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Section)


def load(section: str, model: type[Model], path: Path = PARAMS) -> Model:
    """Return the section of the params file as an instance of model.

    Raises ParamsError, which names file, key, value and what was expected.
    """
    sections = parse(path)
    for name in sections:
        if name not in SECTIONS:
            raise ParamsError(f"{path}: {name}: no such section{suggestion(str(name), SECTIONS)}")
    if section not in sections:
        raise ParamsError(f"{path}: section {section!r} is missing")
    values = sections[section]
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: {section} = {values!r}: expected a section of keys and values")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ParamsError(explain(path, section, model, error)) from None


def parse(path: Path) -> dict[str, Any]:
    """Return a YAML mapping; refuses a repeated key, of which PyYAML alone would keep the last."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=UniqueKeyLoader)
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: run from the project's root") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that no calendar has
        raise ParamsError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected sections of keys and values")
    return content


class UniqueKeyLoader(yaml.SafeLoader):
    """A SafeLoader that refuses two equal keys in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[Any] = []  # not a set: a key may be a list, which PyYAML refuses in its own words
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)


def explain(path: Path, section: str, model: type[Section], error: ValidationError) -> str:
    """Return one line for the first thing that is wrong: file, key, value, what was expected."""
    # A key that is unknown first: the one that is missing is most often the same, spelt rightly.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join([section, *map(str, first["loc"])])
    if first["type"] == "extra_forbidden":
        return f"{path}: {key}: no such key{suggestion(str(first['loc'][0]), model.model_fields)}"
    if first["type"] == "missing":
        return f"{path}: {key} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:  # a rule about several keys
        return f"{path}: {section}: {message}"
    return f"{path}: {key} = {first['input']!r}: {message}"


def suggestion(word: str, known: Any) -> str:
    close = get_close_matches(word, [str(name) for name in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
