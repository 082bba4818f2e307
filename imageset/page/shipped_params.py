"""The values that params.yaml is shipped with, so that the page can show which ones a project changed. Pure."""

import json
from typing import Any

SHIPPED: dict[str, dict[str, Any]] = {
    "source": {
        "as_of": None,
        "limit": None,
        "photos_per_listing": 1,
        "columns": [],
        "group_by": None,
    },
    "ingest": {
        "enabled": True,
        "max_bytes": 20000000,
        "max_pixels": 50000000,
        "formats": ["jpeg", "png", "webp", "gif", "avif"],
        "refused_robots_tags": ["noai", "noimageai", "noindex", "noimageindex"],
        "robots": "ignore",
        "unreachable": "fail",
        "max_rejected_share": 0.2,
    },
    "model": {
        "name": "u2netp",
        "sha256": "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        "allow_non_commercial": False,
    },
    "masks": {
        "background": "remove",
        "side": None,
        "precision": "float32",
        "device": "cpu",
        "use_alpha": False,
    },
    "embed": {
        "enabled": True,
    },
    "preprocess": {
        "fill": [255, 255, 255],
        "fit": "pad",
        "color": "grayscale",
        "image_side": 128,
        "min_foreground": 0.01,
        "max_foreground": 0.99,
        "max_pixels": 50000000,
        "min_sharpness": None,
        "min_brightness": None,
        "max_brightness": None,
        "min_side": None,
        "max_aspect_ratio": None,
        "max_rejected_share": 0.2,
    },
    "duplicates": {
        "distance": 6,
        "likeness": 0.86,
        "max_products": 20,
        "max_rejected_share": 0.2,
    },
    "leakage": {
        "planted": 200,
    },
    "catalog": {
        "label_conflict": "latest",
        "keep": "all",
        "min_photos": 5,
        "rare": "drop",
    },
    "split": {
        "test_share": 0.2,
        "validation_share": 0.0,
        "seed": 1,
    },
    "augment": {
        "copies": 5,
        "balance": "none",
        "max_copies": 20,
        "seed": 1,
        "flip_probability": 0.5,
        "rotate_probability": 0.5,
        "rotate_degrees": [-20.0, 20.0],
        "translate_probability": 0.5,
        "translate_share": [-0.08, 0.08],
        "blur_probability": 0.5,
        "blur_radius": [0.3, 1.2],
        "noise_probability": 0.5,
        "noise_stddev": [2.0, 10.0],
    },
    "build": {
        "seed": 1,
        "compression": "none",
    },
    "report": {
        "sample_photos": 60,
        "page_photos": 10000,
    },
    "card": {
        "name": None,
        "license": None,
        "source": None,
        "personal_data": None,
        "takedown": None,
        "contact": None,
        "citation": None,
    },
}


def changed_params(values: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Return the params that differ from the shipped ones: name, value and shipped value, as YAML writes them.

    >>> changed_params(SHIPPED | {"report": SHIPPED["report"] | {"sample_photos": 100}})
    [{'name': 'report.sample_photos', 'value': '100', 'shipped': '60'}]
    """
    return [
        {"name": f"{section}.{key}", "value": json.dumps(value), "shipped": json.dumps(shipped)}
        for section, keys in SHIPPED.items()
        for key, shipped in keys.items()
        if (value := values[section][key]) != shipped
    ]
