"""The recipe of embeddings names all that decides them, and says what is missing."""

import json
from importlib import metadata
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.photos import checkpoint, efficientnet, embedding_recipe, embeddings, hardware, masks, networks
from imageset.photos.embedding_recipe import describe_recipe, identify_embeddings
from tests.photos.test_mask_recipe import change


@pytest.fixture(autouse=True)
def any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with AVX2 that looks at its code anew each time."""
    monkeypatch.setattr(embedding_recipe, "identify_embeddings", identify_embeddings.__wrapped__)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr(hardware, "read_instructions", lambda: frozenset({"avx2"}))


def test_the_recipe_says_what_decides_embeddings() -> None:
    recipe = json.loads(describe_recipe())
    lines = recipe.pop("made_by")

    assert recipe == {
        "network": "efficientnet-lite0",
        "weights_sha256": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    }
    assert [line.split()[0] for line in lines[:-1]] == [
        *("boxes.py", "colors.py", "decode.py", "file_formats.py", "jpeg_damage.py", "jpeg_markers.py"),
        *("png_chunks.py", "png_colors.py", "scaled_decodes.py", "stray_text.py", "webp_chunks.py", "wholeness.py"),
        *("checkpoint.py", "efficientnet.py", "embeddings.py", "engines.py"),
        *("numpy", "pillow", "simplejpeg", "openvino"),
        "x86_64",
    ]
    assert lines[-1] == "openvino float32"


@pytest.mark.parametrize("name", ["checkpoint", "efficientnet", "embeddings"])
def test_other_code_is_another_recipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_recipe()
    change(
        {"checkpoint": checkpoint, "efficientnet": efficientnet, "embeddings": embeddings}[name], tmp_path, monkeypatch
    )

    assert describe_recipe() != before


def test_code_of_masks_alone_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_recipe()
    change(masks, tmp_path, monkeypatch)

    assert describe_recipe() == before


def test_other_weights_and_a_processor_without_avx2_are_other_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe_recipe()
    with monkeypatch.context() as other:
        other.setattr(networks, "EMBEDDING", ("efficientnet-lite0", "0" * 64))
        assert describe_recipe() != before
    monkeypatch.setattr(hardware, "read_instructions", lambda: frozenset({"sse2"}))

    assert json.loads(describe_recipe())["made_by"][-1] == "openvino float32 without avx2"


@pytest.mark.parametrize(
    ("library", "decides"), [("openvino", True), ("pillow", True), ("simplejpeg", True), ("rembg", False)]
)
def test_versions_of_what_decides_embeddings_are_in_it(
    library: str, decides: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real = describe_recipe(), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == library else real(name))

    assert (describe_recipe() != before) is decides


def test_a_package_that_is_missing_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "openvino":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)

    with pytest.raises(
        ImagesetError,
        match=r"^stage embed needs the package openvino: `pip install -r requirements\.txt`; or set embed\.enabled: ",
    ):
        describe_recipe()
