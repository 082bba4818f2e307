"""Every cache of photos is one that tools.prune and tools.forget know."""

import ast
from importlib import import_module
from pathlib import Path

from tests.project import ROOT
from tools.photo_caches import list_photo_caches


def defines_cache(path: Path) -> bool:
    """Tell whether a module names the table of a cache of photos."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TABLE" for node in nodes)


def test_prune_and_forget_know_every_cache_of_photos() -> None:
    modules = [path.stem for path in sorted((ROOT / "imageset/photos").glob("*.py")) if defines_cache(path)]
    caches = [import_module(f"imageset.photos.{module}") for module in modules]

    assert len(caches) >= 3
    assert {(each.TABLE, each.COLUMNS) for each in caches} == {
        (table, columns) for _, table, columns in list_photo_caches()
    }
