"""A dataset's description in Croissant, JSON-LD that catalogues of datasets read. Pure.

Croissant has no way to read arrays from HDF5, so the HDF5 file is a FileObject and no more. Classes and subsets are
records with their data in the description itself.
"""

from collections.abc import Sequence
from typing import Any

from imageset.report import card
from imageset.runtime.sections import CardParams

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def field(record_set: str, name: str, description: str, data_type: str, **more: Any) -> dict[str, Any]:
    """Return a field of a record set."""
    return {
        "@type": "cr:Field",
        "@id": f"{record_set}/{name}",
        "name": name,
        "description": description,
        "dataType": data_type,
        **more,
    }


def class_records(catalog_ids: Sequence[int], class_ids: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return the record set of the classes, by label, with its data.

    Args:
        catalog_ids: the number of each class.
        class_ids: the source's id of each class. Where all are the numbers' digits, they are left out.
        names: the name of each class.
    """
    has_text = list(class_ids) != [str(catalog_id) for catalog_id in catalog_ids]
    of_source = [field("classes", "class_id", "The source's id of the class.", "sc:Text")] if has_text else []
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The class of each label.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [
            field("classes", "label", "The number that a classifier learns, from 0.", "sc:Integer"),
            field("classes", "catalog_id", "The number of the class in the source's catalog.", "sc:Integer"),
            *of_source,
            field("classes", "name", "The name of the class.", "sc:Text"),
        ],
        "data": [
            {
                "classes/label": label,
                "classes/catalog_id": catalog_id,
                **({"classes/class_id": class_id} if has_text else {}),
                "classes/name": name,
            }
            for label, (catalog_id, class_id, name) in enumerate(zip(catalog_ids, class_ids, names, strict=True))
        ],
    }


def subset_records(rows: dict[str, int]) -> dict[str, Any]:
    """Return the record set of the subsets, with its data.

    Args:
        rows: how many rows each subset has, by its name.
    """
    return {
        "@type": "cr:RecordSet",
        "@id": "subsets",
        "name": "subsets",
        "description": "The subsets, and how many rows each has.",
        "dataType": "cr:Split",
        "key": {"@id": "subsets/name"},
        "field": [
            field("subsets", "name", "The name of the subset.", "sc:Text"),
            field("subsets", "rows", "Its rows, augmented copies included.", "sc:Integer"),
        ],
        "data": [{"subsets/name": name, "subsets/rows": number} for name, number in rows.items()],
    }


def hdf5_object(sha256: str, size: int, about: str) -> dict[str, Any]:
    """Return the HDF5 file as a FileObject. Its path is relative to reports/, where croissant.json is."""
    return {
        "@type": "cr:FileObject",
        "@id": "dataset.h5",
        "name": "dataset.h5",
        "description": about,
        "contentUrl": "../data/dataset.h5",
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-hdf5",
        "sha256": sha256,
    }


def describe(
    filled: CardParams,
    about: str,
    digest: str,
    distribution: Sequence[dict[str, Any]],
    record_sets: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return the description of a dataset.

    Args:
        filled: params section `card`. What is not filled in is left out.
        about: one or two sentences.
        digest: the content digest of the dataset. It stands for a version, which nobody gave.
        distribution: its files.
        record_sets: its records.
    """
    given = {"license": filled.license, "citeAs": filled.citation}
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": card.title(filled),
        "description": f"{about}\n\n{filled.source.strip()}" if filled.source else about,
        "identifier": digest,
        **{key: value for key, value in given.items() if value is not None},
        "distribution": list(distribution),
        "recordSet": list(record_sets),
    }
