"""The GPU's engine with the real weights, run by onnxruntime on the provider that this machine has.

onnxruntime's provider for CUDA needs a GPU. Its provider for the processor takes the same code and its batches.
"""

import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image

from imageset.errors import ImagesetError
from imageset.photos import background, engines, gpu
from imageset.photos.engines import Network, Tensor
from imageset.photos.hardware import claim_gpu
from imageset.photos.networks import NETWORKS
from imageset.workers import limits
from tests.photos.test_engines import garments
from tests.samples import sample

SECONDS = 200.0  # after which a batch that waits for ever ends the tests, by SIGALRM; a machine may stand still too


def network(weights: Path, **changes: Any) -> Network:
    return Network("u2netp", weights, 64, device="cuda")._replace(**changes)


@pytest.fixture(autouse=True)
def on_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run on the processor what is for a GPU, which is claimed for this test alone."""
    monkeypatch.setattr(gpu, "PROVIDERS", ["CPUExecutionProvider"])
    monkeypatch.setattr(gpu, "PROVIDER_OPTIONS", {})
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    claims: list[IO[str]] = []

    def claim() -> tuple[IO[str], int]:
        file, place = claim_gpu()
        claims.append(file)
        return file, place

    monkeypatch.setattr(gpu, "claim_gpu", claim)
    yield
    background.open_session.cache_clear()
    for file in claims:
        file.close()


@pytest.fixture
def inferred(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images the engine infers at a time, from now on."""
    counts: list[int] = []
    real = gpu.CudaEngine.infer

    def infer(engine: gpu.CudaEngine, images: Tensor) -> Tensor:
        counts.append(len(images))
        return real(engine, images)

    monkeypatch.setattr(gpu.CudaEngine, "infer", infer)
    return counts


def distance(one: Image.Image, other: Image.Image) -> int:
    """Return by how much two masks differ in any pixel."""
    return int(np.abs(np.asarray(one, np.int64) - np.asarray(other, np.int64)).max())


# Batches


@pytest.mark.parametrize("side", sample([320, 192, 128], 128))
def test_a_batch_has_the_masks_that_its_images_have_alone_in_their_order(
    side: int, weights: Path, inferred: list[int]
) -> None:
    of_side, images = network(weights, side=side), garments()
    together = background.predict_masks(images, of_side)
    alone = [background.predict_mask(image, of_side) for image in images]

    assert inferred == [5, 1, 1, 1, 1, 1]
    assert [mask.size for mask in together] == [(side, side)] * 5
    assert [distance(one, other) <= 1 for one, other in zip(together, alone, strict=True)] == [True] * 5
    assert all(distance(one, other) > 100 for one, other in pairwise(together))


def test_one_session_takes_batches_of_any_size_one_after_another(weights: Path) -> None:
    images = garments()
    expected = [background.predict_mask(image, network(weights)) for image in images]
    for count in (2, 5, 1, 3, 0, 4):
        masks = background.predict_masks(images[:count], network(weights))

        assert len(masks) == count
        assert all(distance(one, other) <= 1 for one, other in zip(masks, expected, strict=False))


def test_a_network_that_takes_one_side_gets_one_image_at_a_time_and_its_own_shapes(
    weights: Path, inferred: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, of_320 = garments()[:2], network(weights, side=320)
    together = background.predict_masks(images, of_320)
    background.open_session.cache_clear()
    monkeypatch.setitem(NETWORKS, "u2netp", NETWORKS["u2netp"]._replace(any_side=False))
    inferred.clear()
    masks = background.predict_masks(images, of_320)

    assert inferred == [1, 1]
    assert background.open_session(of_320).inner_session.get_inputs()[0].shape == [1, 3, 320, 320]
    assert all(distance(one, other) <= 1 for one, other in zip(masks, together, strict=True))


def test_onnxruntime_makes_openvinos_masks_but_for_the_last_bit_of_some_pixels(weights: Path) -> None:
    images, of_320 = garments()[:3], network(weights, side=320)
    on_gpu = background.predict_masks(images, of_320)
    on_cpu = background.predict_masks(images, of_320._replace(device="cpu"))

    assert all(distance(*pair) <= 1 for pair in zip(on_gpu, on_cpu, strict=True))


def test_only_the_shapes_of_one_image_are_freed(weights: Path) -> None:
    import onnx

    before, after = onnx.load(weights), onnx.load_from_string(gpu.free_shapes(weights))
    freed = [[side.dim_param for side in value.type.tensor_type.shape.dim] for value in after.graph.input]

    assert freed == [["images", "", "height", "width"]]
    assert after.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3
    assert after.graph.node == before.graph.node
    assert after.graph.initializer == before.graph.initializer


# Batches that fail


def predict(session: Any, images: list[Image.Image]) -> list[Image.Image]:
    """Predict the masks of a batch in some seconds, or end this process: nothing else ends threads that wait."""
    handler = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        with limits.deadline(SECONDS):
            return gpu.predict_together(session, images)
    finally:
        signal.signal(signal.SIGALRM, handler)


def wait_until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0.001)


@pytest.mark.parametrize("fails_last", [True, False])
@pytest.mark.parametrize("failing", [0, 2, 4])
def test_an_image_that_fails_before_it_meets_the_others_ends_the_batch_at_once_with_its_own_error(
    failing: int, fails_last: bool, weights: Path, inferred: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for it, or come when it has failed."""
    session = background.open_session(network(weights))
    engine, images = session.inner_session, [image.resize((64, 64)) for image in garments()]
    prepare = session.normalize

    def normalize(image: Image.Image, *others: Any) -> Any:
        meeting = session.inner_session
        if image is images[failing]:
            wait_until(lambda: not fails_last or meeting.barrier.n_waiting == len(images) - 1)
            raise MemoryError(f"over image {failing}")
        wait_until(lambda: fails_last or meeting.failure)
        return prepare(image, *others)

    with monkeypatch.context() as patch:
        patch.setattr(session, "normalize", normalize)
        with pytest.raises(MemoryError, match=f"^over image {failing}$"):
            predict(session, images)

    # The session goes on with the next batch.
    assert session.inner_session is engine
    assert inferred == []
    assert len({mask.tobytes() for mask in predict(session, images)}) == 5
    assert inferred == [5]


def test_a_batch_that_fails_says_why_whichever_image_came_last(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = background.open_session(network(weights))
    images = [image.resize((64, 64)) for image in garments()]

    def infer(engine: gpu.CudaEngine, inputs: Tensor) -> Tensor:
        raise RuntimeError(f"no memory for {len(inputs)} images on the GPU")

    with monkeypatch.context() as patch:
        patch.setattr(gpu.CudaEngine, "infer", infer)
        for _ in range(10):
            with pytest.raises(RuntimeError, match=r"^no memory for 5 images on the GPU$"):
                predict(session, images)

    assert len(predict(session, images)) == 5


# A GPU


def test_without_the_provider_the_engine_is_refused_with_what_to_install(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "PROVIDERS", ["ProviderOfAnotherMachine"])

    with pytest.raises(
        ImagesetError, match=r"^masks\.device: cuda: .*pip install -r requirements-gpu\.txt.*device to cpu"
    ):
        engines.open_engine(network(weights))


@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
def test_a_provider_that_does_not_start_is_not_replaced_by_the_processor(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime itself goes on, with a warning."""
    monkeypatch.setattr(gpu, "PROVIDERS", ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr("onnxruntime.preload_dlls", lambda: None)

    with pytest.raises(ImagesetError, match=r"^masks\.device: cuda: onnxruntime finds no GPU that it can use"):
        engines.open_engine(network(weights))


def test_the_engine_takes_the_gpu_that_it_claimed(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime  # type: ignore[import-untyped]

    real, asked = onnxruntime.InferenceSession, []

    def open_session(model: bytes, providers: list[str], provider_options: list[dict[str, str]]) -> Any:
        asked.append(provider_options)
        return real(model, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", open_session)
    monkeypatch.setattr(gpu, "PROVIDER_OPTIONS", {"use_tf32": "0"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    for _ in range(3):
        engines.open_engine(network(weights))

    assert asked == [[{"device_id": place, "use_tf32": "0"}] for place in "012"]
