"""Catalog, photos and masks -> suspects, a map and components: what looks wrong, for people to look at."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from imageset.audit import features, folds, labels, mask_measures, outliers, photo_map, principal_axes
from imageset.audit.class_suspects import find_class_suspects
from imageset.audit.features import FeatureFile, Features
from imageset.audit.folds import Folds
from imageset.audit.mask_suspects import score_masks
from imageset.audit.photo_map import Forces
from imageset.audit.photo_suspects import find_photo_suspects
from imageset.audit.principal_axes import Components
from imageset.audit.suspects import most_suspect
from imageset.audit.temporary_neighbours import open_temporary_neighbours
from imageset.errors import DataError
from imageset.evaluation.feature_blocks import Labels
from imageset.evaluation.linear_discriminant import Classifier, Floats
from imageset.formats import hdf5, row_checksums, tables
from imageset.runtime import files, stage

PHOTO = ["product_id", "position"]
FACTS = ("width", "height", "sharpness", "brightness", "contrast", "aspect_ratio")
SCORE_DIGITS, PLACE_DIGITS, CHANCE_DIGITS = 4, 2, 6


class Photos(NamedTuple):
    """The photos of the catalog, what the methods see of them, and the standard deviation of each thumbnail, (N,)."""

    catalog: pd.DataFrame
    features: FeatureFile
    contrasts: Floats


class Learned(NamedTuple):
    """What one pass over all photos says.

    names: the catalog_id of each class. own: the class of each photo, 0 to C - 1, (N,). dealt: its fold, (N,). models,
    centres: of each fold, from the photos of all others. temperature: see labels.py. mean, axes: see principal_axes.py.
    """

    names: NDArray[np.int64]
    own: Labels
    dealt: Folds
    models: list[Classifier | None]
    centres: list[Floats | None]
    temperature: float
    mean: Floats
    axes: Floats


class Seen(NamedTuple):
    """What a second pass says of each photo: what models say of its class, how far it is from all, its components."""

    judgements: labels.Judgements
    remoteness: Floats
    components: Components


@contextmanager
def open_photos(catalog_csv: Path, embeddings_h5: Path, thumbnails_h5: Path) -> Iterator[Photos]:
    """Yield the photos of the catalog: their embeddings where there are some, else the edges in their thumbnails.

    Raises DataError when a file is of other photos.
    """
    catalog = tables.read(catalog_csv, tables.CATALOG)
    if catalog.empty:
        raise DataError(f"{catalog_csv} has no photo: run `dvc repro catalog`")
    rows = catalog["row"].to_numpy()
    with (
        row_checksums.open_file(thumbnails_h5, hdf5.THUMBNAILS) as file,
        row_checksums.open_file(embeddings_h5, hdf5.EMBEDDINGS) as embedded,
    ):
        hdf5.require_photos(file, *(catalog[name].to_numpy() for name in ("row", "product_id", "position")))
        thumbnails = row_checksums.Rows(file)
        embeddings = features.find_embeddings(embedded, catalog)
        yield Photos(
            catalog,
            features.of_thumbnails(thumbnails, rows)
            if embeddings is None
            else features.of_embeddings(row_checksums.Rows(embedded), embeddings),
            features.read_contrasts(thumbnails, rows),
        )


def learn(photos: Photos) -> Learned:
    """Return what is learned from the features of all photos, read once."""
    names, own = np.unique(photos.catalog["catalog_id"].to_numpy(), return_inverse=True)
    dealt = folds.deal_folds(own, photos.catalog["group"].to_numpy())
    sample, sampled = labels.choose_sample(len(own)), []

    def parts() -> Iterator[tuple[slice, Features]]:
        for which, values in photos.features.parts("audit: features"):
            sampled.append(values[:, sample[(sample >= which.start) & (sample < which.stop)] - which.start])
            yield which, values

    total, of_fold = folds.sum_folds(parts(), own, dealt, len(names))
    # One thread: the number of threads that add up a product of floats changes its last bits. The sums are exact.
    with threadpool_limits(limits=1):
        models = labels.learn(total, of_fold)
        centres = outliers.find_centres(total, of_fold)
        some = np.concatenate(sampled, axis=1)
        temperature = labels.choose_temperature(some, own[sample], dealt[sample], models, len(names))
        return Learned(names, own, dealt, models, centres, temperature, *principal_axes.find_axes(total))


def look(photos: Photos, learned: Learned) -> Seen:
    """Return what is learned of each photo, in a second pass over the features."""
    total, classes = len(learned.own), len(learned.names)
    judgements, remoteness = labels.judge_none(total, classes), np.zeros(total)
    wholes: tuple[NDArray[Any], ...] = judgements
    components = np.zeros((total, learned.axes.shape[1]), np.int16)
    with threadpool_limits(limits=1):
        for which, values in photos.features.parts("audit: classes"):
            own, dealt = learned.own[which], learned.dealt[which]
            judged = labels.judge(values, own, dealt, learned.models, classes, learned.temperature)
            for whole, part in zip(wholes, judged, strict=True):
                whole[which] = part
            remoteness[which] = outliers.measure_remoteness(values, dealt, learned.centres)
            components[which] = principal_axes.project(values, learned.mean, learned.axes)
    return Seen(judgements, remoteness, components)


def find_suspects(
    photos: Photos, classes: pd.DataFrame, learned: Learned, seen: Seen
) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the suspects of the kinds that classifiers find, and a doubt of each photo."""
    catalog, own, judgements = photos.catalog, learned.own, seen.judgements
    known = judgements.judged
    answers = learned.names[judgements.likeliest[known, 0]]
    kinds = {
        "class": find_class_suspects(classes, catalog["catalog_id"].to_numpy()[known], answers),
        "label": labels.find_label_suspects(catalog, own, judgements),
        "outlier": outliers.find_outliers(catalog, seen.remoteness, photos.contrasts),
    }
    return kinds, labels.find_doubts(catalog, own, judgements)


def find_in_masks(catalog: pd.DataFrame, masks_h5: Path, previews_h5: Path) -> tuple[pd.DataFrame, Floats]:
    """Return the photos whose masks look wrong, and the score of each mask; none, and NaN, without masks."""
    measures = mask_measures.read_measures(masks_h5, previews_h5, catalog)
    if measures is None:
        return catalog.iloc[:0], np.full(len(catalog), np.nan)
    scores, why = score_masks(catalog, measures)
    return most_suspect(catalog, scores, why), scores


def find_in_facts(catalog: pd.DataFrame, photos_csv: Path) -> pd.DataFrame:
    """Return the photos whose facts look wrong. Raises DataError when the table lacks a photo."""
    facts = tables.read(photos_csv, tables.PHOTOS, FACTS)
    numbers = facts.astype(dict.fromkeys(FACTS, np.float64))
    joined = catalog[[*PHOTO, "catalog_id"]].merge(numbers, on=PHOTO, validate="one_to_one")
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


def list_places(catalog: pd.DataFrame, places: Floats) -> pd.DataFrame:
    """Return map.csv: the place of each photo, (2, N)."""
    across, down = np.round(places, PLACE_DIGITS) + 0.0  # 0.0 in place of -0.0
    texts = (pd.array(as_texts(values, PLACE_DIGITS), dtype="str") for values in (across, down))
    return catalog[PHOTO].assign(**dict(zip(("x", "y"), texts, strict=True)))


def find_forces(components: Components, folder: Path) -> tuple[Forces, ...]:
    """Return the pairs of photos that the map is drawn by. A temporary file is in a folder meanwhile."""
    count = min(photo_map.CANDIDATES, len(components) - 1)
    usual = np.zeros(len(components))
    with open_temporary_neighbours(folder) as kept:
        for found in principal_axes.find_nearest(components, count):
            usual[found.rows] = photo_map.measure_spread(np.sqrt(found.squares))
            kept.append(found)
        near = photo_map.choose_near(kept.read(), usual, count)
    return photo_map.choose_forces(components, near)


def write_components(components_h5: Path, catalog: pd.DataFrame, components: Components) -> None:
    """Write components.h5. No feature is so long that a component would leave int16 (see principal_axes.py)."""
    with files.atomic(components_h5) as temporary, hdf5.create(temporary, hdf5.COMPONENTS) as file:
        hdf5.add(file, "components", components)
        hdf5.add(file, "ids", catalog["product_id"].to_numpy(np.int64))
        hdf5.add(file, "positions", catalog["position"].to_numpy(np.int16))
        row_checksums.finish(file, row_checksums.checksum_rows(components))


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
    with open_photos(catalog_csv, embeddings_h5, thumbnails_h5) as photos:
        learned = learn(photos)
        seen = look(photos, learned)
    catalog, components = photos.catalog, seen.components
    kinds, doubts = find_suspects(photos, read_classes(catalog, classes_csv), learned, seen)
    del photos, learned, seen  # of a million photos 170 MB
    kinds["mask"], mask_scores = find_in_masks(catalog, masks_h5, previews_h5)
    write_doubts(doubts_csv, doubts, mask_scores)
    del doubts, mask_scores
    kinds["photo"] = find_in_facts(catalog, photos_csv)
    suspects = rank_suspects(kinds)
    tables.write(suspects_csv, tables.SUSPECTS, suspects)
    write_components(components_h5, catalog, components)
    first, forces = photo_map.start_places(components), find_forces(components, map_csv.parent)
    del components
    tables.write(map_csv, tables.MAP, list_places(catalog, photo_map.draw_map(first, forces)))
    print(f"audit: {len(catalog)} photos, suspects: {tables.tally(suspects['kind'])}")


if __name__ == "__main__":
    stage.run("audit", main)
