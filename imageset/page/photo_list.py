"""Every photo that a table names, a row each: what became of it, and what is known of it. Pure."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imageset.curation import corrections
from imageset.formats import dates, source_ids
from imageset.page.inputs import PageInputs, PhotoTables
from imageset.report.figures import StageTables
from imageset.storage.object_keys import POSITION_MAX

KEY = ["product_id", "position"]
FACTS = ["width", "height", "format", "sharpness", "brightness", "contrast", "aspect_ratio"]
MASK_MEASURES = ["foreground_share", "border_share", "pieces", "uncertainty"]
DOUBTS = ["own_probability", "mask_score"]
NAMELESS = ("no_id", "bad_id", "bad_position")  # why a rejected row of listings names no photo
UNDECIDED, CLASS_DECIDED, EXCLUDED, PRODUCT_DECIDED = 0, 1, 2, 3


def name_photos(data: PageInputs) -> pd.DataFrame:
    """Return every photo that a table names, by product and position; none of a product that was taken down.

    Products that the source numbers come first, by number, then the others, by text. Without a table of ingest the
    bucket decides which photos there are, not the listings.

    Returns:
        product_id, position, catalog_id (Int64: the class that the catalog gives it, or would), stage and reason of its
        reject (both "" for a photo of the dataset).
    """
    stages = data.stages
    rejects = list_rejects(stages)
    listed = [stages.listings] if len(stages.ingest) else []
    named = pd.concat([frame[KEY] for frame in (*listed, rejects, stages.inventory)]).drop_duplicates()
    photos = in_order_of_source(named[~named["product_id"].isin(data.taken_down)])
    # Ids that a left merge may leave missing are Int64: pandas makes float64 of int64, which rounds large ids.
    for table in (stages.catalog[[*KEY, "catalog_id"]].astype({"catalog_id": "Int64"}), rejects):
        photos = photos.merge(table, on=KEY, how="left", validate="one_to_one")
    given = photos.pop("rejected_class")
    texts = {name: photos[name].fillna("") for name in ("stage", "reason")}
    return photos.assign(catalog_id=photos["catalog_id"].fillna(given), **texts)


def describe_photos(photos: pd.DataFrame, data: PageInputs, said: PhotoTables) -> pd.DataFrame:
    """Return what is known of photos.

    Args:
        photos: some rows of `name_photos`.
        data: what people decided.
        said: what the tables say of these photos.

    Returns:
        The photos, in their order, with the columns of `name_photos` (catalog_id also by the labels), subset, group
        (Int64), group_size (int64), image_url as the seller wrote it, key, decided, the FACTS, the MASK_MEASURES,
        answer (Int64, a label), probability, x, y, the DOUBTS and other_class (Int64, a catalog_id). Numbers with
        fractions are float64, NaN where none is known.
    """
    refused_rows = listing_rejects(said.listing_rejects, said.listings)
    for table in (
        said.split,
        said.groups.astype({"group": "Int64"}),
        pd.concat([said.listings, refused_rows])[[*KEY, "image_url"]],
        pd.concat([said.inventory[[*KEY, "key"]], said.ingest[[*KEY, "key"]]]).drop_duplicates(KEY),
        said.photos,
        said.masks[[*KEY, *MASK_MEASURES]],
        said.predictions[[*KEY, "answer", "probability"]],
        said.map,
        said.doubts.rename(columns={"probability": "own_probability"}),
    ):
        photos = photos.merge(table, on=KEY, how="left", validate="one_to_one")
    catalog_id = photos["catalog_id"].fillna(latest_classes(photos, said.labels))
    return with_types(photos.assign(catalog_id=catalog_id, decided=find_decided(photos, data)))


def in_order_of_source(photos: pd.DataFrame) -> pd.DataFrame:
    """Return product_id and position of photos, in the order of `name_photos`."""
    if not source_ids.has_text(photos["product_id"]):
        return photos.sort_values(KEY, ignore_index=True)
    texts = source_ids.texts(photos["product_id"])
    is_number = texts == photos["product_id"].astype(str)
    keys = photos.assign(text=texts.mask(is_number, ""), number=photos["product_id"].where(is_number, 0))
    return keys.sort_values(["text", "number", "position"], ignore_index=True)[KEY]


def list_rejects(stages: StageTables) -> pd.DataFrame:
    """Return product_id, position, stage, reason and rejected_class (of the catalog) of every photo left out.

    The stages are those of `photo_flow`: what duplicates leaves out, catalog rejects.
    """
    refused_rows = listing_rejects(stages.listing_rejects, stages.listings)
    frames = {
        "listings": refused_rows if len(stages.ingest) else refused_rows[:0],
        "ingest": stages.ingest[stages.ingest["status"] == "rejected"],
        "preprocess": stages.rejects,
        "catalog": stages.catalog_rejects.rename(columns={"catalog_id": "rejected_class"}),
    }
    columns = [*KEY, "stage", "reason", "rejected_class"]
    rows = [frame.assign(stage=stage).reindex(columns=columns) for stage, frame in frames.items()]
    return pd.concat([frame.astype({"rejected_class": "Int64"}) for frame in rows], ignore_index=True)


def listing_rejects(rejects: pd.DataFrame, listings: pd.DataFrame) -> pd.DataFrame:
    """Return the rejected rows of listings that name a photo: the first of each photo that no other row provides."""
    rows = number_rejects(rejects).drop_duplicates(KEY)
    taken = pd.MultiIndex.from_frame(rows[KEY]).isin(pd.MultiIndex.from_frame(listings[KEY]))
    return rows[~taken]


def number_rejects(rejects: pd.DataFrame) -> pd.DataFrame:
    """Return the rejected rows of listings that name a photo, with numbers as product_id and position.

    A row without a valid product_id or position names none. It is in the counts of stage listings only.
    """
    named = rejects[~rejects["reason"].isin(NAMELESS) & are_positions(rejects["position"])]
    return named.assign(
        product_id=pd.array(source_ids.numbers(named["product_id"]), dtype="int64"),
        position=named["position"].astype("int64"),
    )


def are_positions(texts: pd.Series) -> pd.Series:
    """Return which texts spell a position, as stage listings accepts it."""
    spelt = texts.str.fullmatch("0|[1-9][0-9]{0,4}")
    return spelt & (texts.where(spelt, "0").astype("int64") <= POSITION_MAX)


def group_sizes(kept: pd.DataFrame, groups: NDArray[np.int64]) -> pd.DataFrame:
    """Return photos with group_size: how many photos of their group duplicates kept.

    Args:
        kept: product_id, position and group of photos that duplicates kept.
        groups: the group of each photo that it kept, int64 (N,).
    """
    numbers, sizes = np.unique(groups, return_counts=True)
    return kept.assign(group_size=sizes[np.searchsorted(numbers, kept["group"])])


def find_decided(photos: pd.DataFrame, data: PageInputs) -> NDArray[np.int64]:
    """Return for each photo whether a person excluded it, or gave or confirmed its class, or that of its product."""
    excluded = corrections.deciding(photos, data.exclusions) >= 0
    of_photo = [decision for decision in data.label_decisions if decision.position is not None]
    labelled, named = (corrections.deciding(photos, rows) >= 0 for rows in (data.label_decisions, of_photo))
    return np.select([excluded, named, labelled], [EXCLUDED, CLASS_DECIDED, PRODUCT_DECIDED], UNDECIDED)


def latest_classes(photos: pd.DataFrame, labels: pd.DataFrame) -> pd.Series:
    """Return the class in the latest label row of each photo's product, missing where there is none."""
    complete = labels.assign(date=dates.sortable(labels["date"])).dropna(subset=["product_id", "catalog_id"])
    rows = complete.sort_values(["date", "catalog_id"], ascending=[True, False], kind="stable")
    latest = rows.drop_duplicates("product_id", keep="last").set_index("product_id")["catalog_id"]
    return photos["product_id"].map(latest).astype("Int64")


def with_types(photos: pd.DataFrame) -> pd.DataFrame:
    """Return the photos with "" for missing texts, and numbers in place of the tables' texts."""
    texts = ["subset", "stage", "reason", "image_url", "key", "format"]
    whole = ["group", "width", "height", "pieces", "answer", "other_class"]
    fractions = [*FACTS[3:], "foreground_share", "border_share", "uncertainty", "probability", "x", "y", *DOUBTS]
    changed = {name: photos[name].fillna("").astype(object) for name in texts}
    changed |= {name: photos[name].astype("Int64") for name in whole}
    changed |= {name: pd.to_numeric(photos[name].replace("", None)).astype("float64") for name in fractions}
    return photos.assign(**changed, group_size=photos["group_size"].fillna(0).astype("int64"))
