"""A dataset card and croissant.json in an export, so that the folder can be pushed to the Hugging Face Hub as it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from imageset.formats import hdf5
from imageset.report import card, croissant
from imageset.report.markdown import escape, escape_cell
from imageset.runtime import files
from imageset.runtime.sections import CardParams
from tools.export.source import Source

FILES = "parquet-files"
SHOWN = 40  # classes in the card's table; classes.csv has all
COLUMNS = {
    "label": ("The number of the class.", "sc:Integer"),
    "catalog_id": ("The number of the class in the source's catalog.", "sc:Integer"),
    "class_id": ("The source's id of the class.", "sc:Text"),
    "product_id": ("The number of the product.", "sc:Integer"),
    "position": ("Which photo of the product, from 0.", "sc:Integer"),
    "copy": ("0: the photo itself; else the number of an augmented copy.", "sc:Integer"),
}
FURTHER = {
    "source_id": ("The source's id of the product.", "sc:Text"),
    "group": ("The group of photos that are in one subset together.", "sc:Integer"),
}
OF_THE_SOURCE = ("A further column of the source.", "sc:Text")
REFERENCES = {
    "label": {"references": {"field": {"@id": "classes/label"}}},
    "subset": {"references": {"field": {"@id": "subsets/name"}}},
}


def write_card(folder: Path, source: Source, filled: CardParams) -> None:
    """Write README.md and croissant.json.

    Args:
        folder: the folder of an export in Parquet.
        source: what was exported.
        filled: params section `card`.
    """
    files.write_text(folder / "README.md", write_readme(source, filled))
    written = json.dumps(describe(source, filled), indent=2, ensure_ascii=False)
    files.write_text(folder / "croissant.json", written + "\n")


def about(source: Source) -> str:
    """Return what was exported, in one sentence."""
    side = " x ".join(map(str, source.subsets[0].image_shape))
    return f"{source.total} images of products, {side} pixels, in {len(source.classes.names)} classes."


def unique_names(source: Source) -> list[str]:
    return hdf5.unique_names(source.classes.names, source.classes.ids)


def write_readme(source: Source, filled: CardParams) -> str:
    """Return the card. Its head says which files `datasets` reads for which subset; one without photos has none."""
    subsets = [subset for subset in source.subsets if subset.rows.total]
    data_files = [{"split": subset.name, "path": f"data/{subset.name}-*.parquet"} for subset in subsets]
    counts = [np.bincount(subset.rows.labels, minlength=len(source.classes.names)).tolist() for subset in subsets]
    rows = zip(unique_names(source), source.classes.ids, *counts, strict=True)
    table = [
        f"| class | class_id | {' | '.join(subset.name for subset in subsets)} |",
        f"|---|---:|{'---:|' * len(subsets)}",
        *(
            f"| {escape_cell(name)} | {escape_cell(class_id)} | {' | '.join(map(str, numbers))} |"
            for name, class_id, *numbers in list(rows)[:SHOWN]
        ),
    ]
    lines = [
        card.head(filled, source.total, data_files),
        f"# {escape(card.title(filled))}\n",
        f"{about(source)} [croissant.json](croissant.json) describes the files for programs.\n",
        card.filled_in(filled),
        "## Classes\n",
        "\n".join(table) + "\n",
        f"[classes.csv](classes.csv) has all {len(source.classes.names)} classes by label.\n",
    ]
    return "\n".join(lines)


def describe(source: Source, filled: CardParams) -> dict[str, Any]:
    """Return the content of croissant.json."""
    distribution = {
        "@type": "cr:FileSet",
        "@id": FILES,
        "name": FILES,
        "description": "The Parquet files of all subsets.",
        "encodingFormat": "application/x-parquet",
        "includes": "data/*.parquet",
    }
    subsets = {subset.name: subset.rows.total for subset in source.subsets}
    record_sets = [
        croissant.class_records(source.classes.catalog_ids, source.classes.ids, unique_names(source)),
        croissant.subset_records(subsets),
        photo_records(list(source.subsets[0].further)),
    ]
    return croissant.describe(filled, about(source), source.digest, [distribution], record_sets)


def photo_records(further: list[str]) -> dict[str, Any]:
    """Return the record set of the photos: the columns of the Parquet files, and the subset from a file's name.

    further: the names of Subset.further.
    """

    def taken(extract: dict[str, str], **more: Any) -> dict[str, Any]:
        return {"source": {"fileSet": {"@id": FILES}, "extract": extract, **more}}

    columns = [
        croissant.field("photos", name, text, kind, **taken({"column": name}), **REFERENCES.get(name, {}))
        for name, (text, kind) in (COLUMNS | {name: FURTHER.get(name, OF_THE_SOURCE) for name in further}).items()
    ]
    image = taken({"column": "image"}, transform={"jsonPath": "bytes"})
    # Of data/train-00000-of-00001.parquet, and of train: mlcroissant applies it again to what it has found.
    subset = taken({"fileProperty": "fullpath"}, transform={"regex": r"(?:.*/)?(\w+?)(?:-\d+-of-\d+\.parquet)?$"})
    return {
        "@type": "cr:RecordSet",
        "@id": "photos",
        "name": "photos",
        "description": "The photos with their labels.",
        "field": [
            croissant.field("photos", "subset", "The subset.", "sc:Text", **subset, **REFERENCES["subset"]),
            croissant.field("photos", "image", "The image file.", "sc:ImageObject", **image),
            *columns,
        ],
    }
