"""Catalog, photos and masks -> suspects, a map and components: what looks wrong, for people to look at."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from imageset.audit import features, folds, labels, mask_measures, outliers, photo_map, principal_axes
from imageset.audit.class_suspects import find_class_suspects
from imageset.audit.features import Features
from imageset.audit.mask_suspects import score_masks
from imageset.audit.photo_suspects import find_photo_suspects
from imageset.audit.principal_axes import Components
from imageset.audit.suspects import most_suspect
from imageset.errors import DataError
from imageset.evaluation.linear_discriminant import ClassSums, Floats
from imageset.formats import hdf5, row_checksums, tables
from imageset.runtime import files, stage

SCORE_DIGITS, PLACE_DIGITS, CHANCE_DIGITS = 4, 2, 6


class Photos(NamedTuple):
    """The photos of the catalog, and what the methods see of them."""

    catalog: pd.DataFrame
    features: Features  # uint8 (V, N, D)
    contrasts: Floats  # (N,)


def read_photos(catalog_csv: Path, embeddings_h5: Path, thumbnails_h5: Path) -> Photos:
    """Read the photos of the catalog: their embeddings where there are some, else the edges in their thumbnails.

    Raises DataError when a file is of other photos.
    """
    catalog = tables.read(catalog_csv, tables.CATALOG)
    if catalog.empty:
        raise DataError(f"{catalog_csv} has no photo: run `dvc repro catalog`")
    rows = catalog["row"].to_numpy()
    with row_checksums.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file:
        hdf5.require_photos(file, *(catalog[name].to_numpy() for name in ("row", "product_id", "position")))
        thumbnails = row_checksums.Rows(file)
        contrasts = features.read_contrasts(thumbnails, rows)
        with row_checksums.open_file(embeddings_h5, hdf5.EMBEDDINGS) as embedded:
            embeddings = features.find_embeddings(embedded, catalog)
            if embeddings is not None:
                return Photos(catalog, features.read_embeddings(row_checksums.Rows(embedded), embeddings), contrasts)
        return Photos(catalog, features.read_thumbnails(thumbnails, rows), contrasts)


class Found(NamedTuple):
    """What classifiers find: the suspects by kind, a doubt of each photo, and the sums over all photos."""

    kinds: dict[str, pd.DataFrame]
    doubts: pd.DataFrame
    total: ClassSums


def find_suspects(photos: Photos, classes: pd.DataFrame) -> Found:
    """Return the suspects of the kinds that classifiers find, and what they say of every photo."""
    catalog = photos.catalog
    names, own = np.unique(catalog["catalog_id"].to_numpy(), return_inverse=True)
    dealt = folds.deal_folds(own, catalog["group"].to_numpy())
    total, of_fold = folds.sum_folds(photos.features, own, dealt, len(names))
    # One thread: the number of threads that add up a product of floats changes its last bits. The sums are exact.
    with threadpool_limits(limits=1):
        judgements = labels.judge(photos.features, own, dealt, labels.learn(total, of_fold), len(names))
        remoteness = outliers.measure_remoteness(photos.features, dealt, total, of_fold)
    known = judgements.judged
    answers = names[judgements.likeliest[known, 0]]
    kinds = {
        "class": find_class_suspects(classes, catalog["catalog_id"].to_numpy()[known], answers),
        "label": labels.find_label_suspects(catalog, own, judgements),
        "outlier": outliers.find_outliers(catalog, remoteness, photos.contrasts),
    }
    return Found(kinds, labels.find_doubts(catalog, own, judgements), total)


def find_in_masks(catalog: pd.DataFrame, masks_h5: Path, previews_h5: Path) -> tuple[pd.DataFrame, Floats]:
    """Return the photos whose masks look wrong, and the score of each mask; none, and NaN, without masks."""
    measures = mask_measures.read_measures(masks_h5, previews_h5, catalog)
    if measures is None:
        return catalog.iloc[:0], np.full(len(catalog), np.nan)
    scores, why = score_masks(catalog, measures)
    return most_suspect(catalog, scores, why), scores


def find_in_facts(catalog: pd.DataFrame, photos_csv: Path) -> pd.DataFrame:
    """Return the photos whose facts look wrong. Raises DataError when the table lacks a photo."""
    facts = tables.read(photos_csv, tables.PHOTOS)
    joined = catalog.merge(facts, on=["product_id", "position"], validate="one_to_one")
    if len(joined) < len(catalog):
        raise DataError(f"{photos_csv} has other photos than the tables: run `dvc repro`")
    return find_photo_suspects(joined)


def read_classes(catalog: pd.DataFrame, classes_csv: Path) -> pd.DataFrame:
    """Return catalog_id, name and parent_id of the classes that photos have."""
    classes = tables.read(classes_csv, tables.CLASSES)
    return classes[classes["catalog_id"].isin(catalog["catalog_id"])]


def rank_suspects(kinds: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return suspects.csv: the suspects of each kind in their order, ranked from 1."""
    ranked = [
        found.assign(kind=kind, rank=range(1, len(found) + 1), score=[f"{x:.{SCORE_DIGITS}f}" for x in found["score"]])
        for kind, found in kinds.items()
        if len(found)
    ]
    return tables.frame(tables.SUSPECTS, pd.concat(ranked).to_dict("records") if ranked else [])


def write_doubts(doubts_csv: Path, doubts: pd.DataFrame, mask_scores: Floats) -> None:
    """Write doubts.csv: what is known of every photo, whether it is listed or not."""
    rows = doubts.assign(
        probability=as_texts(doubts["probability"], CHANCE_DIGITS), mask_score=as_texts(mask_scores, SCORE_DIGITS)
    )
    tables.write(doubts_csv, tables.DOUBTS, rows)


def as_texts(values: Iterable[float], digits: int) -> list[str]:
    """Return numbers as tables have them, "" for NaN."""
    return ["" if value != value else f"{value:.{digits}f}" for value in values]


def find_components(photos: Photos, total: ClassSums) -> Components:
    """Return the principal components of each photo."""
    with threadpool_limits(limits=1):
        return principal_axes.project(photos.features, *principal_axes.find_axes(total))


def draw_map(catalog: pd.DataFrame, components: Components) -> pd.DataFrame:
    """Return map.csv: the place of each photo."""
    count = min(photo_map.CANDIDATES, len(components) - 1)
    nearest = principal_axes.find_nearest(components, count)
    places = photo_map.draw_map(components, *nearest)
    across, down = (np.round(places, PLACE_DIGITS) + 0.0).T  # 0.0 in place of -0.0
    texts = ([f"{value:.{PLACE_DIGITS}f}" for value in values] for values in (across, down))
    return catalog[["product_id", "position"]].assign(**dict(zip(("x", "y"), texts, strict=True)))


def write_components(components_h5: Path, catalog: pd.DataFrame, components: Components) -> None:
    """Write components.h5. No feature is so long that a component would leave int16 (see principal_axes.py)."""
    with files.atomic(components_h5) as temporary, hdf5.create(temporary, hdf5.COMPONENTS) as file:
        hdf5.add(file, "components", components.astype(np.int16))
        hdf5.add(file, "ids", catalog["product_id"].to_numpy(np.int64))
        hdf5.add(file, "positions", catalog["position"].to_numpy(np.int16))
        row_checksums.finish(file)


def main(
    catalog_csv: Path,
    classes_csv: Path,
    embeddings_h5: Path,
    thumbnails_h5: Path,
    masks_h5: Path,
    previews_h5: Path,
    photos_csv: Path,
    suspects_csv: Path,
    map_csv: Path,
    components_h5: Path,
    doubts_csv: Path,
) -> None:
    """List the photos that look wrong, for people to look at, and draw a map of all; reject nothing.

    Args:
        catalog_csv: the class of each photo.
        classes_csv: the names and parents of the classes.
        embeddings_h5: what a network sees in every photo; without photos where embed.enabled is false.
        thumbnails_h5: a thumbnail of every photo as it was, before background removal.
        masks_h5: the mask of every photo; without photos where backgrounds are kept.
        previews_h5: a small picture of every photo in colour, which masks are held against.
        photos_csv: the facts of every photo.
        suspects_csv: what looks wrong, ranked within each kind, with a reason.
        map_csv: two coordinates for each photo; photos that look alike are near each other.
        components_h5: 50 numbers for each photo, from which the map was drawn; they say which photos look alike.
        doubts_csv: of every photo, the probability of its class, the likeliest other class and the score of its mask.
    """
    photos = read_photos(catalog_csv, embeddings_h5, thumbnails_h5)
    kinds, doubts, total = find_suspects(photos, read_classes(photos.catalog, classes_csv))
    kinds["mask"], mask_scores = find_in_masks(photos.catalog, masks_h5, previews_h5)
    kinds["photo"] = find_in_facts(photos.catalog, photos_csv)
    components = find_components(photos, total)
    suspects, places = rank_suspects(kinds), draw_map(photos.catalog, components)
    tables.write(suspects_csv, tables.SUSPECTS, suspects)
    tables.write(map_csv, tables.MAP, places)
    write_components(components_h5, photos.catalog, components)
    write_doubts(doubts_csv, doubts, mask_scores)
    print(f"audit: {len(photos.catalog)} photos, suspects: {tables.tally(suspects['kind'])}")


if __name__ == "__main__":
    stage.run("audit", main)
