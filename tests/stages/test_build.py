import hashlib
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from imageset.errors import DataError, ImagesetError, ParamsError
from imageset.formats import hdf5, row_checksums, source_ids, stable_hash, tables
from imageset.formats.hdf5 import Pixels
from imageset.runtime import files
from stages import build
from tests.project import ROOT
from tests.stages.in_workers import die

Edit = Callable[[str, str], None]

SIDE = 16
NAMES = ("Blusen, Größe L", "<script>coats</script>", "$1 & up")
SUBSET_OF = ("train", "train", "train", "test")


def photo(number: int, channels: int = 1) -> Pixels:
    """Pixels that tell photos apart: noise about a brightness of its own."""
    random = np.random.Generator(np.random.PCG64(number))
    return random.integers(number * 5, number * 5 + 100, (SIDE, SIDE, channels)).astype(np.uint8)


def photo_table(count: int) -> pd.DataFrame:
    """A catalog and split in one: products 100, 103, ... of three classes, every third with a second photo."""
    rows: list[tuple[int | str, ...]] = []
    for number in range(count):
        label = number % 3
        for position in (0, 1) if number % 3 == 0 else (0,):
            rows.append(
                (
                    100 + 3 * number,
                    position,
                    len(rows),
                    1000 + label,
                    label,
                    100 + 3 * number,
                    SUBSET_OF[number % len(SUBSET_OF)],
                )
            )
    return pd.DataFrame(rows, columns=[*tables.CATALOG.columns, "subset"])


def make_inputs(project: Path, table: pd.DataFrame, channels: int = 1) -> None:
    """Write all that the stage reads."""
    data = project / "data"
    data.mkdir(exist_ok=True)
    with hdf5.create(data / "processed.h5", hdf5.PROCESSED) as file:
        hdf5.add(file, "images", np.stack([photo(row, channels) for row in table["row"]]))
        hdf5.add(file, "ids", table["product_id"].to_numpy(np.int64))
        hdf5.add(file, "positions", table["position"].to_numpy(np.int16))
        row_checksums.finish(file, fill=np.array([255, 255, 255], np.uint8))
    tables.write(data / "catalog.csv", tables.CATALOG, table)
    tables.write(data / "split.csv", tables.SPLIT, table)
    label_map = [(label, 1000 + label, name) for label, name in enumerate(NAMES)]
    tables.write(data / "label_map.csv", tables.LABEL_MAP, tables.frame(tables.LABEL_MAP, label_map))
    (data / "attributes.csv").write_text(ATTRIBUTES)


def run(project: Path) -> Path:
    """Run the stage and return the dataset's path."""
    data = project / "data"
    names = ("processed.h5", "catalog.csv", "label_map.csv", "split.csv", "attributes.csv", "dataset.h5")
    build.main(*(data / name for name in names))
    return data / "dataset.h5"


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


ATTRIBUTES = "product_id,position,brand\n100,0,Été\n103,0,Zed\n"


def build_in(folder: Path, copies: int = 5, columns: str = "[]") -> Path:
    """Build the dataset of 8 products in a folder and return its path; the tables lie beside it."""
    text = (ROOT / "params.yaml").read_text().replace("  columns: []", f"  columns: {columns}")
    (folder / "params.yaml").write_text(text.replace("  copies: 5", f"  copies: {copies}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("IMAGESET_WORKERS", "1")
        make_inputs(folder, photo_table(8))
        return run(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of 8 products, built once, for tests that only read it."""
    return build_in(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def project(in_project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the inputs of 8 products, one worker."""
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    make_inputs(in_project, photo_table(8))
    return in_project


def test_pixels_of_other_photos_than_the_catalogs_are_refused(project: Path) -> None:
    make_inputs(project, photo_table(8))
    table = tables.read(project / "data/catalog.csv", tables.CATALOG)
    tables.write(project / "data/catalog.csv", tables.CATALOG, table.assign(row=table["row"].to_numpy()[::-1]))

    with pytest.raises(DataError, match="has other photos"):
        run(project)


def rows_of(file: h5py.File, subset: str) -> list[tuple[int, ...]]:
    """Return product_id, position, label of each row, and the copy's number where the subset has one."""
    names = [name for name in ("ids", "positions", "labels", "copies") if f"{subset}_{name}" in file]
    return list(zip(*(file[f"{subset}_{name}"][:].tolist() for name in names), strict=True))


def test_compression_changes_storage_alone(project: Path, dataset: Path, edit_params: Edit) -> None:
    edit_params("  compression: none", "  compression: gzip")
    with h5py.File(run(project)) as file, h5py.File(dataset) as plain:
        images = file["train_images"]

        assert (images.compression, images.chunks) == ("gzip", (1, SIDE, SIDE, 1))
        assert file.attrs["content_digest"] == plain.attrs["content_digest"] == hdf5.content_digest(file)
        assert all((file[name][:] == plain[name][:]).all() for name in plain)


def test_lzf_is_refused_with_what_to_take_instead(project: Path, edit_params: Edit) -> None:
    make_inputs(project, photo_table(8))
    edit_params("  compression: none", "  compression: lzf")

    with pytest.raises(
        ParamsError, match=r"build\.compression = 'lzf': lzf is no longer written\. Use gzip: .*docs/data"
    ):
        run(project)


def test_balance_gives_rare_classes_more_copies(project: Path, edit_params: Edit) -> None:
    edit_params("  balance: none", "  balance: to_max")
    edit_params("  max_copies: 20", "  max_copies: 9")
    edit_params("  copies: 5", "  copies: 2")
    with h5py.File(run(project)) as file:
        train, test = pd.DataFrame(rows_of(file, "train")), rows_of(file, "test")

    photos = photo_table(8).query("subset == 'train'")["label"].value_counts()
    expected = {label: min(9, round(2 * photos.max() / count + 1e-9)) for label, count in photos.items()}
    assert expected == {0: 2, 2: 4, 1: 4}
    assert {row[2]: len(rows) for row, rows in train.groupby([0, 1, 2])} == expected
    assert len(test) == len(photo_table(8).query("subset == 'test'"))


def test_each_training_photo_has_its_copies_and_each_test_photo_none(dataset: Path) -> None:
    table = photo_table(8)
    trained = table[table["subset"] == "train"]
    photos = list(trained[["product_id", "position", "label"]].itertuples(index=False, name=None))
    tested = table[table["subset"] == "test"][["product_id", "position", "label"]]
    with h5py.File(dataset) as file:
        assert sorted(rows_of(file, "train")) == sorted((*row, copy) for row in photos for copy in range(5))
        assert sorted(rows_of(file, "test")) == sorted(tested.itertuples(index=False, name=None))
        assert sorted(file) == [
            "class_names",
            "label_map",
            "test_groups",
            "test_ids",
            "test_images",
            "test_labels",
            "test_positions",
            "train_copies",
            "train_groups",
            "train_ids",
            "train_images",
            "train_labels",
            "train_positions",
        ]


def test_copy_0_is_the_photo_and_the_others_are_not(
    project: Path, edit_params: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 7 * SIDE * SIDE)  # several batches a subset
    edit_params("noise_probability: 0.5", "noise_probability: 1.0")
    source = photo_table(8).set_index(["product_id", "position"])["row"]
    with h5py.File(run(project)) as file:
        for subset in ("train", "test"):
            for image, row in zip(file[f"{subset}_images"][:], rows_of(file, subset), strict=True):
                plain = subset == "test" or row[3] == 0

                assert np.array_equal(image, photo(source[row[0], row[1]])) == plain


def test_dtypes_and_storage_are_those_of_the_format(dataset: Path) -> None:
    with h5py.File(dataset) as file:
        assert {name: file[name].dtype.str for name in file if name.startswith("train")} == {
            "train_copies": "<i2",
            "train_groups": "<i8",
            "train_ids": "<i8",
            "train_images": "|u1",
            "train_labels": "<i8",
            "train_positions": "<i2",
        }
        assert file["train_images"].shape[1:] == (SIDE, SIDE, 1)
        assert file["train_images"].chunks is None
        assert file["train_images"].id.get_offset() is not None


def test_rows_are_mixed(dataset: Path) -> None:
    with h5py.File(dataset) as file:
        rows = rows_of(file, "train")

    assert rows != sorted(rows)
    assert [row[2] for row in rows] != sorted(row[2] for row in rows)
    assert rows == sorted(rows, key=lambda row: stable_hash.rank(1, row[0], row[1], row[3]))


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_deviation_are_those_of_the_training_photos_as_they_are(channels: int, project: Path) -> None:
    make_inputs(project, photo_table(8), channels)
    with h5py.File(run(project)) as file:
        plain = file["train_images"][:][file["train_copies"][:] == 0]

        assert file.attrs["mean"] == pytest.approx(plain.mean(axis=(0, 1, 2), dtype=np.float64), rel=1e-12)
        assert file.attrs["std"] == pytest.approx(plain.std(axis=(0, 1, 2), dtype=np.float64), rel=1e-12)
        assert file.attrs["mean"].shape == (channels,)


def test_attributes_say_what_the_file_is_and_how_it_was_made(dataset: Path) -> None:
    with h5py.File(dataset) as file:
        assert set(file.attrs) == {"complete", "content_digest", "format", "format_version", "mean", "params", "std"}
        assert file.attrs["content_digest"] == hdf5.content_digest(file)
        assert file.attrs["complete"]
        assert file.attrs["params"].startswith('{"augment": {"balance": "none", "blur_probability": 0.5, ')
        assert file.attrs["params"].endswith('"build": {"compression": "none", "seed": 1}}')


def test_version_2_has_the_arrays_of_version_1_unchanged(dataset: Path) -> None:
    """version1.h5 is what build made of the same tables and params before there was a version 2."""
    with h5py.File(ROOT / "tests/dataset/version1.h5") as before, h5py.File(dataset) as now:
        assert (before.attrs["format_version"], now.attrs["format_version"]) == (1, 2)
        assert set(now) - set(before) == {"test_groups", "train_groups"}
        assert set(before) - set(now) == set()
        for name in before:
            assert before[name].dtype == now[name].dtype
            assert (before[name][:] == now[name][:]).all()
        for name in ("complete", "format", "params"):
            assert before.attrs[name] == now.attrs[name]
        assert (before.attrs["mean"] == now.attrs["mean"]).all()
        assert (before.attrs["std"] == now.attrs["std"]).all()
        assert before.attrs["content_digest"] != now.attrs["content_digest"]


def test_rows_have_the_groups_of_their_photos(project: Path) -> None:
    table = photo_table(8).assign(group=lambda photos: photos["product_id"] // 2)
    make_inputs(project, table)
    groups = dict(zip(table["product_id"], table["group"], strict=True))
    with h5py.File(run(project)) as file:
        for subset in ("train", "test"):
            assert file[f"{subset}_groups"][:].tolist() == [groups[its_id] for its_id in file[f"{subset}_ids"][:]]


def test_further_columns_follow_their_photos(project: Path, edit_params: Edit) -> None:
    edit_params("  columns: []", "  columns: [maker, brand]")
    (project / "data/attributes.csv").write_text(
        'product_id,position,brand,price,maker\n100,0,"Größe, ""L""",9.50,a\n100,1,,1,b\n109,0,007,2,\n'
    )
    said: dict[tuple[int, ...], tuple[str, str]] = {
        (100, 0): ('Größe, "L"', "a"),
        (100, 1): ("", "b"),
        (109, 0): ("007", ""),
    }
    with h5py.File(run(project)) as file:
        assert {name for name in file if "column" in name} == {
            f"{subset}_column_{name}" for subset in ("train", "test") for name in ("brand", "maker")
        }
        for subset in ("train", "test"):
            columns = [file[f"{subset}_column_{name}"] for name in ("brand", "maker")]
            found = list(zip(*(column.asstr()[:] for column in columns), strict=True))

            assert found == [said.get(row[:2], ("", "")) for row in rows_of(file, subset)]
            assert all(column.id.get_offset() is not None and column.chunks is None for column in columns)


def test_a_column_that_the_table_lacks_is_refused(project: Path, edit_params: Edit) -> None:
    edit_params("  columns: []", "  columns: [shop]")

    with pytest.raises(DataError, match=r"attributes\.csv has no column shop: run `dvc repro`"):
        run(project)


def test_text_ids_of_the_source_are_beside_their_numbers(project: Path) -> None:
    table = photo_table(8)
    texts = {product_id: str(uuid.UUID(int=int(product_id) << 90)) for product_id in table["product_id"]}
    names = table.assign(product_id=table["product_id"].map(texts))
    numbered = names.assign(product_id=source_ids.numbers(names["product_id"])).sort_values(["product_id", "position"])
    make_inputs(project, numbered.assign(row=range(len(table)), group=numbered["product_id"]))
    label_map = "label,catalog_id,name\n0,blouses,Blouses\n1,1001,Coats\n2,2002,Up\n"
    (project / "data/label_map.csv").write_text(label_map)
    with h5py.File(run(project)) as file:
        for subset in ("train", "test"):
            found = file[f"{subset}_source_ids"].asstr()[:].tolist()

            assert set(found) <= set(texts.values())
            assert [source_ids.number(text) for text in found] == file[f"{subset}_ids"][:].tolist()
        assert file["class_ids"].asstr()[:].tolist() == ["blouses", "1001", "2002"]
        assert file["label_map"][0] == f"0,{source_ids.number('blouses')}".encode()
        assert file["train_source_ids"].dtype == "S36"


def test_classes_are_numbered_and_named(dataset: Path) -> None:
    with h5py.File(dataset) as file:
        assert file["label_map"][:].tolist() == [b"0,1000", b"1,1001", b"2,1002"]
        assert file["class_names"].asstr()[:].tolist() == list(NAMES)


def articles_reading(path: Path) -> tuple[Any, Any, dict[int, int]]:
    """Read a batch as the article did: sorted random rows, and the label map by eval."""
    with h5py.File(path, "r") as file:
        chosen = np.sort(np.random.default_rng(0).choice(len(file["test_images"]), size=2, replace=False))
        images, labels = file["test_images"][chosen], file["test_labels"][chosen]
        return images, labels, dict([eval(label.decode("utf-8")) for label in file["label_map"]])


def test_the_articles_own_code_reads_the_file(dataset: Path) -> None:
    images, labels, label_map = articles_reading(dataset)

    assert images.shape == (2, SIDE, SIDE, 1)
    assert label_map == {0: 1000, 1: 1001, 2: 1002}
    assert all(label in label_map for label in labels)


def test_a_validation_subset_is_there_when_the_split_has_one(project: Path) -> None:
    table = photo_table(8)
    table.loc[table["product_id"] == 103, "subset"] = "validation"
    make_inputs(project, table)
    with h5py.File(run(project)) as file:
        assert rows_of(file, "validation") == [(103, 0, 1)]
        assert np.array_equal(file["validation_images"][0], photo(2))
        assert "validation_copies" not in file


def test_one_copy_is_the_photos_alone(project: Path, edit_params: Edit) -> None:
    edit_params("  copies: 5", "  copies: 1")
    with h5py.File(run(project)) as file:
        assert len(file["train_images"]) == 8
        assert set(file["train_copies"][:]) == {0}


def test_a_split_without_test_photos_makes_an_empty_subset(project: Path) -> None:
    make_inputs(project, photo_table(8).assign(subset="train"))
    with h5py.File(run(project)) as file:
        assert file["test_images"].shape == (0, SIDE, SIDE, 1)
        assert file["test_labels"].shape == (0,)


def test_neither_workers_nor_the_order_of_tables_change_a_byte(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "BLOCK_BYTES", 7 * SIDE * SIDE)
    one = md5(run(project))
    for name in ("catalog", "split", "label_map"):
        path = project / f"data/{name}.csv"
        header, *lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([header, *lines[::-1]]))
    monkeypatch.setenv("IMAGESET_WORKERS", "2")

    assert md5(run(project)) == one


def test_another_seed_is_another_order_of_the_same_rows(project: Path, edit_params: Edit) -> None:
    with h5py.File(run(project)) as file:
        before = rows_of(file, "test")
    edit_params(
        "build:                        # stage build\n  # Seeds the order of the rows in dataset.h5.\n  seed: 1",
        "build:\n  seed: 3",
    )
    with h5py.File(run(project)) as file:
        after = rows_of(file, "test")

    assert before != after
    assert sorted(before) == sorted(after)


def test_the_disk_needs_room_for_every_array_not_only_for_the_pixels(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(files, "require_space", lambda path, needed: asked.append(needed))
    with h5py.File(run(project)) as file:
        stored = sum(array.nbytes for name, array in file.items() if name.startswith(hdf5.SUBSETS))

    assert stored <= asked[0] < stored * 1.1


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = md5(run(project))
    names = sorted(path.name for path in (project / "data").iterdir())

    def disk_full(file: h5py.File, written: Mapping[str, hdf5.Blocks]) -> str:
        digest_all(file, written)
        raise OSError(28, "No space left on device")

    digest_all = hdf5.content_digest
    monkeypatch.setattr(hdf5, "content_digest", disk_full)

    with pytest.raises(ImagesetError, match=r"dataset\.h5: its disk is full"):
        run(project)

    assert md5(project / "data/dataset.h5") == before
    assert sorted(path.name for path in (project / "data").iterdir()) == names


def test_a_worker_that_dies_over_the_same_rows_again_fails_the_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageset.dataset.write.render", die)

    with pytest.raises(ImagesetError, match=r"a worker process died twice over the same rows.*IMAGESET_WORKERS"):
        run(project)

    assert not [path for path in (project / "data").iterdir() if "dataset" in path.name]


def test_tables_that_do_not_name_the_same_photos_are_refused(project: Path) -> None:
    tables.write(project / "data/split.csv", tables.SPLIT, photo_table(8)[1:])

    with pytest.raises(DataError, match=r"split\.csv and .*catalog\.csv do not name the same photos"):
        run(project)


def test_a_split_without_training_photos_is_refused(project: Path) -> None:
    tables.write(project / "data/split.csv", tables.SPLIT, photo_table(8).assign(subset="test"))

    with pytest.raises(DataError, match="no photo to train on"):
        run(project)
