"""Identify the code, libraries and processor that decide masks, pixels and near-duplicates.

The keys of the caches contain this, so an entry of other code is never used. Dask workers compare theirs with that of
the machine that sends the photos, so a worker with other code is refused.

Code is identified by its parsed source, without docstrings, comments and formatting. A key made of source text would
be lost, and every mask with it, when a docstring changes. Every change of code changes the key. Imports are code: when
a module that one of these imports moves, the masks are made again once.
"""

import ast
import hashlib
import platform
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any


def fingerprint(modules: Iterable[ModuleType], libraries: Iterable[str]) -> list[str]:
    """Identify the code of modules, the versions of libraries, and the kind of processor.

    Args:
        modules: imported modules, each read from its source file.
        libraries: names of installed distributions.

    Returns:
        A line each, such as "decode.py 4be6..." or "numpy 2.1.3", then the processor, such as "x86_64".
    """
    code = [(path := Path(str(module.__file__))).name + f" {hash_code(path.read_bytes())}" for module in modules]
    return [*code, *(f"{library} {metadata.version(library)}" for library in libraries), platform.machine()]


@cache  # a process asks again for each cache that it opens
def hash_code(source: bytes) -> str:
    """Return 32 hexadecimal digits that change with Python code, not with docstrings, comments or formatting."""
    return hashlib.sha256(outline(ast.parse(source)).encode()).hexdigest()[:32]


def outline(node: Any) -> str:
    """Return parsed code as text: each node's kind and its fields that are not empty.

    Not `ast.dump` or `ast.unparse`: their output differs between Python versions, and a Dask worker may run another
    version than the machine that sends it photos. Python 3.12 added fields to nodes, which are empty in code for 3.11,
    and `ast.dump` of 3.13 omits empty fields. `ascii` is the same everywhere; `repr` depends on the Unicode version.
    """
    if isinstance(node, list):
        return f"[{', '.join(outline(item) for item in node if not does_nothing(item))}]"
    if not isinstance(node, ast.AST):
        return ascii(node)
    fields = [f"{name}={outline(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({', '.join(fields)})"


def does_nothing(node: Any) -> bool:
    """Return whether a statement is a docstring or another string by itself, or `pass`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return isinstance(node.value.value, str)
    return isinstance(node, ast.Pass)
