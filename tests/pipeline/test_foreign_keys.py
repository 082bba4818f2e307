"""Photos under names that something else gave them, from the listings to pixels and embeddings, by a real bucket."""

from pathlib import Path

import h5py
import pytest

from imageset.formats import tables
from imageset.storage.bucket import Bucket
from stages import embed, ingest, inventory, masks, preprocess
from tests.conftest import photo_bytes, put
from tests.samples import sample

# Names that URLs or clients may read in another way. The server of the tests has no others: it keeps a//b as a/b.
KEYS = [
    "hats/red hat.png",
    "caf\u00e9/\u65e5\u672c.jpg",
    "50% off?#1.jpg",
    "%2e%2e/%2F.jpg",
    "a+b&c=d;e,f@g:h!i$j'k(l)m*n~o^p|q.jpg",
    '[1]{2}<3>".jpg',
    "3.jpeg",
    "no suffix",
    "/".join(["a" * 200] * 4),
]
LISTINGS, INGEST, INVENTORY = Path("data/listings.csv"), Path("data/ingest.csv"), Path("data/inventory.csv")
TAKEDOWNS = Path("corrections/takedowns.csv")


def run(embedding_weights: Path) -> tuple[int, int]:
    """Run the stages, and return how many photos have pixels and embeddings."""
    ingest.main(LISTINGS, Path("data/labels.csv"), Path("data/classes.csv"), TAKEDOWNS, INGEST)
    inventory.main(INGEST, TAKEDOWNS, INVENTORY)
    masks.main(
        INVENTORY, Path("models/none.onnx"), Path("models/none.zip"), Path("data/masks.h5"), Path("data/masks.csv")
    )
    outputs = ("processed.h5", "thumbnails.h5", "processed.csv", "rejects.csv", "photos.csv", "previews.h5")
    preprocess.main(INVENTORY, Path("data/masks.h5"), *(Path("data") / name for name in outputs))
    embed.main(INVENTORY, embedding_weights, Path("data/embeddings.h5"))
    with h5py.File("data/embeddings.h5") as file:
        embedded = int((file["reasons"][:] == b"").sum())
    return len(tables.read(Path("data/processed.csv"), tables.PROCESSED)), embedded


@pytest.mark.parametrize("kept_on_disk", sample(["2000", "0"], "2000"))
def test_a_photo_is_the_same_under_any_key(
    kept_on_disk: str,
    bucket: Bucket,
    in_project: Path,
    embedding_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("IMAGESET_WORKERS", "1")
    monkeypatch.setenv("IMAGESET_OBJECTS_MB", kept_on_disk)
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("background: remove", "background: keep"))
    for number, key in enumerate(KEYS):
        put(bucket, key, photo_bytes(number))
    rows = [(number, 0, "", key) for number, key in enumerate(KEYS)]
    rows += [(number, 1, "", key) for number, key in enumerate(KEYS[:3])]  # some are photos of two places
    tables.write(LISTINGS, tables.LISTINGS, tables.frame(tables.LISTINGS, rows))
    tables.write(Path("data/labels.csv"), tables.LABELS, tables.frame(tables.LABELS, [(0, 7, "")]))
    tables.write(Path("data/classes.csv"), tables.CLASSES, tables.frame(tables.CLASSES, [(7, "hats", None)]))

    assert run(embedding_weights) == (len(rows), len(rows))
    named = tables.read(INVENTORY, tables.INVENTORY)
    assert dict(zip(zip(named["product_id"], named["position"], strict=True), named["key"], strict=True)) == {
        (number, at): key for number, at, _, key in rows
    }
    outputs = [Path(f"data/{name}").read_bytes() for name in ("processed.csv", "processed.h5", "embeddings.h5")]

    capsys.readouterr()

    assert run(embedding_weights) == (len(rows), len(rows))
    assert capsys.readouterr().out.count("the bucket was asked for 0") == 2
    assert outputs == [Path(f"data/{name}").read_bytes() for name in ("processed.csv", "processed.h5", "embeddings.h5")]
