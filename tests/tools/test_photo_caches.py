"""Every cache of photos is one that tools.prune and tools.forget know."""

import ast
from importlib import import_module
from pathlib import Path

from tests.project import ROOT
from tools.photo_caches import list_photo_caches


def defines_cache(path: Path) -> bool:
    """Tell whether a module has a subclass of PhotoCache."""
    classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    return any("PhotoCache" in map(ast.unparse, node.bases) for node in classes)


def test_prune_and_forget_know_every_cache_of_photos() -> None:
    modules = [path.stem for path in sorted((ROOT / "imageset/photos").glob("*.py")) if defines_cache(path)]
    caches = [import_module(f"imageset.photos.{module}") for module in modules]

    assert len(caches) >= 2
    assert {(each.TABLE, each.COLUMNS) for each in caches} == {
        (table, columns) for _, table, columns in list_photo_caches()
    }
