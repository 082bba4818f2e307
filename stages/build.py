"""Augment the training photos and write data/dataset.h5, in a fixed mixed order."""

from pathlib import Path

import pandas as pd

from imageset.dataset.arrange import arrange_subsets, read_photos
from imageset.dataset.render import RenderRecipe
from imageset.dataset.write import Plan, write_dataset
from imageset.errors import DataError
from imageset.formats import attributes, hdf5, row_checksums, tables
from imageset.runtime import params, stage


def with_columns(photos: pd.DataFrame, attributes_csv: Path, columns: list[str]) -> pd.DataFrame:
    """Return the photos with further columns. A photo that the table lacks, as in a bucket that is used as it is, has
    empty ones.
    """
    described = attributes.read(attributes_csv, columns)
    return photos.merge(described, how="left", on=list(tables.PHOTO), validate="one_to_one").fillna(
        dict.fromkeys(columns, "")
    )


def main(
    processed_h5: Path,
    catalog_csv: Path,
    label_map_csv: Path,
    split_csv: Path,
    attributes_csv: Path,
    dataset_h5: Path,
) -> None:
    """Augment the training photos and write the dataset file.

    Args:
        processed_h5: the pixels of every photo.
        catalog_csv: the class of each photo.
        label_map_csv: the label, the catalog_id and the name of each class.
        split_csv: the subset of each photo.
        attributes_csv: the further columns of the listings, of which source.columns names some.
        dataset_h5: the dataset.
    """
    build, augment, columns = params.load().build, params.load().augment, params.load().source.columns
    photos = read_photos(catalog_csv, split_csv)
    with row_checksums.open_file(processed_h5, hdf5.PROCESSED) as file:
        image_shape = file["images"].shape[1:]
        hdf5.require_photos(file, *(photos[name].to_numpy() for name in ("row", "product_id", "position")))
    subsets = arrange_subsets(photos, augment, build.seed)
    if not subsets["train"].total:
        raise DataError(f"{split_csv} has no photo to train on")
    label_map = tables.read(label_map_csv, tables.LABEL_MAP).sort_values("label")
    recipe = RenderRecipe(processed_h5, augment)
    described = with_columns(photos, attributes_csv, columns)
    write_dataset(dataset_h5, Plan(subsets, described, columns, label_map, image_shape, recipe, build))
    counts = ", ".join(f"{rows.total} {subset}" for subset, rows in subsets.items())
    print(f"build: {counts} rows, {dataset_h5.stat().st_size / 1e6:,.1f} MB")


if __name__ == "__main__":
    stage.run("build", main)
