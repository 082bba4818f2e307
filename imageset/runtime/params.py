"""Strict loading of params.yaml: the whole file is accepted, or refused with one line that names the fault."""

from collections.abc import Hashable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.constructor import SafeConstructor

from imageset.errors import ParamsError
from imageset.runtime.sections import Params

PARAMS = Path("params.yaml")

# Keys of earlier versions, and where they went.
MOVED = {"preprocess.background": "masks.background", "preprocess.mask_side": "masks.side"}

# By the types of pydantic's faults, where its own words are a programmer's.
EXPECTED = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "list_type": "expected a list, such as [a, b]",
    "too_short": "expected more values",
}


def load(path: Path = PARAMS) -> Params:
    """Load params.yaml, every section of it.

    A stage takes its own section: `params.load().split`. A fault in another section is refused as well, so that the
    first stage finds it and not a later one after an hour of work.

    Args:
        path: the params file.

    Returns:
        All sections, checked.

    Raises:
        ParamsError: names the file, the key, the value and what was expected.
    """
    values = parse(path)
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        raise ParamsError(f"{path}: {explain(error)}") from None


def parse(path: Path) -> dict[str, Any]:
    """Return a YAML mapping. Refuse a repeated key: PyYAML alone would keep the last one."""
    try:
        text = path.read_text(encoding="utf-8")
        try:
            content = yaml.load(text, Loader=FastUniqueKeyLoader)
        except (yaml.YAMLError, ValueError):  # the slow loader's errors quote the line
            content = yaml.load(text, Loader=UniqueKeyLoader)
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: run from the project's root") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8
        raise ParamsError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: expected sections of keys and values")
    return {str(name): section for name, section in content.items()}


class UniqueKeyConstructor(SafeConstructor):
    """Refuses two equal keys in one mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: list[Any] = []  # not a set: a key may be a list, which PyYAML refuses in its own words
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            seen.append(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        """Return a date. One that no calendar has is an error with its line."""
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            raise yaml.MarkedYAMLError(
                problem=f'{node.value} is no date ({error}): write one such as "2026-01-31T00:00:00Z"',
                problem_mark=node.start_mark,
            ) from None


class UniqueKeyLoader(UniqueKeyConstructor, yaml.SafeLoader):
    """PyYAML's own parser."""


class FastUniqueKeyLoader(UniqueKeyConstructor, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """libyaml, where PyYAML was built with it: a tenth of the time."""


for loader in (UniqueKeyLoader, FastUniqueKeyLoader):
    loader.add_constructor("tag:yaml.org,2002:timestamp", loader.construct_yaml_timestamp)  # type: ignore[type-var]


def explain(error: ValidationError) -> str:
    """Return one line for the first fault: key, value, what was expected."""
    # An unknown key first: the missing one is most often the same, spelt rightly.
    fault = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    section, *rest = map(str, fault["loc"])
    key = ".".join([section, *rest])
    if key in MOVED:
        return f"{key} is {MOVED[key]} now: move it there, as in CHANGELOG.md"
    if fault["type"] == "extra_forbidden":
        what, known = ("key", fields_of(section)) if rest else ("section", Params.model_fields)
        return f"{key}: no such {what}{suggestion(rest[0] if rest else section, known)}"
    if fault["type"] == "missing" and isinstance(fault["loc"][-1], int):  # of a list
        return f"{key.rpartition('.')[0]} = {fault['input']!r}: {EXPECTED['too_short']}"
    if fault["type"] == "missing":
        missing = key if rest else f"section {section!r}"
        return f"{missing} is missing: add it; CHANGELOG.md has the values of new params that change nothing"
    if fault["type"] == "model_type":
        return f"{key} = {fault['input']!r}: expected a section of keys and values"
    message = EXPECTED.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    if not rest:  # a rule about several keys
        return f"{section}: {message}"
    return f"{key} = {fault['input']!r}: {message}"


def fields_of(section: str) -> Iterable[str]:
    """Return the keys of a section."""
    fields: Iterable[str] = getattr(Params.model_fields[section].annotation, "model_fields", ())
    return fields


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return a question that names the nearest known word, "" where none is near."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
