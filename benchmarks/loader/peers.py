"""The loaders that imageset's is measured against: python -m benchmarks.loader.peers ...

`write NAME FOLDER` makes of FOLDER/plain.h5 what a peer reads and ends with MISSING where the peer is not installed;
`read` is as in benchmarks/loader/workload.py. They run in the environments of benchmarks/loader/requirements.txt.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.loader import workload
from benchmarks.loader.workload import (
    BATCH,
    CHANGES,
    MOMENTS,
    PLAIN,
    SHAPE,
    Batches,
    Epochs,
    Readers,
    Settings,
    torch_loader,
)

# By name: whether mypy sees them and their types depends on the environment that it runs in.
torch: Any = import_module("torch")
utils_data: Any = import_module("torch.utils.data")

SHARDS = 8
BUFFER = 2_000  # photos that webdataset shuffles among themselves
JPEG_QUALITY = 75  # Pillow's default
MISSING = 3  # the exit code

Photo = tuple[NDArray[np.uint8], int]


def photos(folder: Path) -> Iterator[Photo]:
    """Yield every photo with its label."""
    with h5py.File(folder / PLAIN) as file:
        images = file["train_images"]
        for start in range(0, len(images), BATCH):
            yield from zip(images[start : start + BATCH], range(start, len(images)), strict=False)


def stacked(items: list[Any]) -> tuple[Any, Any]:
    """Collate items whose images are bytes: with one copy."""
    joined = bytearray(b"".join(item["image"] for item in items))
    return (
        torch.frombuffer(joined, dtype=torch.uint8).view(-1, *SHAPE),
        torch.tensor([int(item["label"]) for item in items]),
    )


class Pictures(utils_data.Dataset):  # type: ignore[misc]
    """A folder of picture files, as torchvision's ImageFolder reads one with Pillow."""

    def __init__(self, folder: Path) -> None:
        self.paths, self.open = sorted(folder.iterdir()), import_module("PIL.Image").open

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        with self.open(self.paths[index]) as image:
            return torch.from_numpy(np.array(image)[None]), int(self.paths[index].stem)


def write_pictures(folder: Path) -> None:
    fromarray = import_module("PIL.Image").fromarray
    for kind, options in (("jpeg", {"quality": JPEG_QUALITY}), ("png", {})):
        (folder / kind).mkdir()
        for image, label in photos(folder):
            fromarray(image[..., 0]).save(folder / kind / f"{label}.{kind}", **options)


def read_pictures(folder: Path, settings: Settings) -> Batches:
    return torch_loader(Pictures(folder / settings["kind"]), settings, shuffle=True)


def write_datasets(folder: Path) -> None:
    datasets = import_module("datasets")

    def rows(as_bytes: bool) -> Iterator[dict[str, Any]]:
        for image, label in photos(folder):
            yield {"image": image.tobytes() if as_bytes else image, "label": label}

    for name, column in (("array", datasets.Array3D(SHAPE, "uint8")), ("bytes", datasets.Value("binary"))):
        features = datasets.Features({"image": column, "label": datasets.Value("int64")})
        made = datasets.Dataset.from_generator(
            rows,
            features=features,
            gen_kwargs={"as_bytes": name == "bytes"},
            cache_dir=str(folder / f"datasets-{name}.cache"),
        )
        made.save_to_disk(str(folder / f"datasets-{name}"))
        shutil.rmtree(folder / f"datasets-{name}.cache")


class Tables(utils_data.Dataset):  # type: ignore[misc]
    """Gives torch's DataLoader a batch's rows as one table of Arrow."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset.with_format("arrow")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, rows: list[int]) -> Any:
        return self.dataset[rows]

    @staticmethod
    def collate(table: Any) -> tuple[Any, Any]:
        pixels = np.frombuffer(table["image"].combine_chunks().buffers()[2], np.uint8)
        return torch.from_numpy(pixels.reshape(-1, *SHAPE)), torch.from_numpy(table["label"].to_numpy())


def read_datasets(folder: Path, settings: Settings) -> Batches:
    name = "array" if settings["way"] == "numpy" else "bytes"
    dataset = import_module("datasets").load_from_disk(str(folder / f"datasets-{name}"))
    if settings["way"] == "numpy":  # which gives integers as int64
        return Epochs(
            lambda: (
                (batch["image"].astype(np.uint8), batch["label"])
                for batch in dataset.with_format("numpy").shuffle().iter(BATCH)
            )
        )
    if settings["way"] == "table":
        return torch_loader(Tables(dataset), settings, shuffle=True, collate_fn=Tables.collate)
    return torch_loader(dataset, settings, shuffle=True, collate_fn=stacked)


def as_bytes(photo: Photo) -> dict[str, Any]:
    return {"image": photo[0].tobytes(), "label": photo[1]}


def write_litdata(folder: Path) -> None:
    import_module("litdata").optimize(
        as_bytes, list(photos(folder)), str(folder / "litdata"), chunk_bytes="64MB", num_workers=1
    )


def read_litdata(folder: Path, settings: Settings) -> Batches:
    litdata = import_module("litdata")
    return load_with_litdata(litdata.StreamingDataset(str(folder / "litdata"), shuffle=True, drop_last=False), settings)


def load_with_litdata(dataset: Any, settings: Settings) -> Batches:
    """Return litdata's batches of its dataset, wherever that is."""
    loader: Batches = import_module("litdata").StreamingDataLoader(
        dataset,
        batch_size=BATCH,
        num_workers=settings["workers"],
        persistent_workers=settings["workers"] > 0,
        collate_fn=stacked,
    )
    return loader


def write_webdataset(folder: Path) -> None:
    (folder / "webdataset").mkdir()
    with h5py.File(folder / PLAIN) as file:
        maxcount = -(-len(file["train_images"]) // SHARDS)
    with import_module("webdataset").ShardWriter(str(folder / "webdataset/%03d.tar"), maxcount, verbose=0) as shards:
        for image, label in photos(folder):
            shards.write({"__key__": str(label), "image.bin": image.tobytes(), "label.txt": str(label)})


def read_webdataset(folder: Path, settings: Settings) -> Batches:
    webdataset = import_module("webdataset")
    shards = webdataset.WebDataset(sorted(map(str, (folder / "webdataset").iterdir())), shardshuffle=SHARDS)
    batches = shards.shuffle(BUFFER).rename(image="image.bin", label="label.txt").batched(BATCH, stacked)
    workers = settings["workers"]
    loader: Batches = webdataset.WebLoader(
        batches, batch_size=None, num_workers=workers, persistent_workers=workers > 0
    )
    return loader


def define_operators() -> None:
    """Let torchvision be imported: it wants operators that torch's CPU build does not have. Nothing here uses them."""
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor boxes) -> Tensor")


def streaming() -> Any:
    """Return the package, which imports torchvision."""
    define_operators()
    return import_module("streaming")


def write_streaming(folder: Path) -> None:
    with streaming().MDSWriter(out=str(folder / "streaming"), columns={"image": "bytes", "label": "int"}) as writer:
        for photo in photos(folder):
            writer.write(as_bytes(photo))


def read_streaming(folder: Path, settings: Settings) -> Batches:
    dataset = streaming().StreamingDataset(
        local=str(folder / "streaming"), shuffle=True, batch_size=BATCH, shuffle_algo=settings["algorithm"]
    )
    return torch_loader(dataset, settings, collate_fn=stacked)


def write_ffcv(folder: Path) -> None:
    fields, writer = import_module("ffcv.fields"), import_module("ffcv.writer")
    columns = {"image": fields.NDArrayField(np.dtype("uint8"), SHAPE), "label": fields.IntField()}
    writer.DatasetWriter(str(folder / "ffcv.beton"), columns, num_workers=1).from_indexed_dataset(list(photos(folder)))


def parallel(decoder: Any) -> Any:
    """Return ffcv's decoder of arrays with its loop in several threads, as that of its decoder of images is."""
    generate = decoder.generate_code

    def generate_parallel() -> Any:
        code = generate()
        code.is_parallel = True
        return code

    decoder.generate_code = generate_parallel
    return decoder


def to_floats() -> Any:
    """Return ffcv's NormalizeImage, which has three channels, for one: its table, its loop."""
    base, compiler = import_module("ffcv.transforms").NormalizeImage, import_module("ffcv.pipeline.compiler").Compiler

    class NormalizeGrey(base):  # type: ignore[misc, valid-type]
        def generate_code_cpu(self) -> Any:
            table, each = self.lookup_table.reshape(-1), compiler.get_iterator()

            def normalize(images: Any, result: Any, indices: Any) -> Any:
                for row in each(len(indices)):
                    image, out = images[row].reshape(-1), result[row].reshape(-1)
                    for pixel in range(len(out)):
                        out[pixel] = table[image[pixel]]
                return result

            code: Any = normalize
            code.is_parallel = code.with_indices = True
            return code

    return NormalizeGrey(*(np.array([value]) for value in MOMENTS), np.float32)


def read_ffcv(folder: Path, settings: Settings) -> Batches:
    ffcv, decoders = import_module("ffcv.loader"), import_module("ffcv.fields.decoders")
    decoder = decoders.NDArrayDecoder()
    steps = [parallel(decoder) if settings["decoder"] == "parallel" else decoder]
    by_torch = settings.get("way") == "torch"
    if settings.get("floats") and not by_torch:
        steps.append(to_floats())
    pipelines = {"image": [*steps, import_module("ffcv.transforms").ToTensor()]}
    loader: Batches = ffcv.Loader(
        str(folder / "ffcv.beton"),
        BATCH,
        num_workers=settings["workers"],
        os_cache=True,
        order=ffcv.OrderOption[settings["order"]],
        drop_last=False,
        seed=0,
        batches_ahead=settings["ahead"],
        pipelines=pipelines,
    )
    if by_torch:
        return Epochs(lambda: ((workload.normalised(images), labels) for images, labels in loader))
    return loader


def write_torchvision(folder: Path) -> None:
    """Write nothing, as imageset's loader reads the file: find out whether torchvision is there."""
    define_operators()
    import_module("torchvision.transforms.v2")


def read_torchvision(folder: Path, settings: Settings) -> Batches:
    """Imageset's loader with the changes of Augment, made by torchvision: once a batch, or image by image."""
    define_operators()
    torch.set_num_threads(1)  # several would wait for each other, which counts as processor time
    v2, options = import_module("torchvision.transforms.v2"), CHANGES[settings["augment"]]
    steps: dict[str, Callable[[float], Any]] = {
        "flip": lambda share: v2.RandomHorizontalFlip(share),
        "shift": lambda share: v2.RandomAffine(
            options.get("rotate", 0),
            translate=(share, share),
            interpolation=v2.InterpolationMode.BILINEAR if "rotate" in options else v2.InterpolationMode.NEAREST,
        ),
        "rotate": lambda degrees: v2.Identity(),  # with shift
        "brightness": lambda share: v2.ColorJitter(brightness=share),
        "erase": lambda share: v2.RandomErasing(share),
    }
    change = v2.Compose([steps[name](value) for name, value in options.items()])
    one_by_one = settings["way"] == "images"
    return workload.imageset(
        folder,
        settings,
        transform_batch=(lambda images: torch.stack([change(image) for image in images])) if one_by_one else change,
    )


WRITERS: dict[str, Callable[[Path], None]] = {
    "datasets": write_datasets,
    "ffcv": write_ffcv,
    "litdata": write_litdata,
    "pictures": write_pictures,
    "streaming": write_streaming,
    "torchvision": write_torchvision,
    "webdataset": write_webdataset,
}
READERS: Readers = {
    "datasets": read_datasets,
    "ffcv": read_ffcv,
    "litdata": read_litdata,
    "pictures": read_pictures,
    "streaming": read_streaming,
    "torchvision": read_torchvision,
    "webdataset": read_webdataset,
}


def write(name: str, folder: Path) -> None:
    try:
        WRITERS[name](folder)
    except ImportError as error:
        print(f"not installed: {error}")
        sys.exit(MISSING)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(sys.argv[2], Path(sys.argv[3]))
    else:
        workload.main(READERS, sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], sys.argv[5])
