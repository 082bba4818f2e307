"""Masks that another machine made: who changes a param of preprocess needs no network, new listings only their own
masks."""

import re
import shutil
from pathlib import Path

import h5py
import pytest

from tests.faults import projects
from tests.project import PHOTOS, Project

ALL = sum(PHOTOS.values())
FEWER = 20  # listings that the other machine made masks of
FEWEST = 4  # of those

# A package in place of each that can run the network or prepare photos for it.
ENGINES = ("openvino", "onnxruntime", "rembg")
ASKED = "an engine was asked for"


@pytest.fixture
def no_engine(tmp_path: Path) -> dict[str, str]:
    """Settings with which every process of a pipeline fails that imports an engine, and finds nothing cached."""
    for name in ENGINES:
        (tmp_path / "no engine" / name).mkdir(parents=True)
        (tmp_path / "no engine" / name / "__init__.py").write_text(f"raise RuntimeError('{ASKED}')\n")
    return {
        "PYTHONPATH": str(tmp_path / "no engine"),
        "IMAGESET_CACHE": str(tmp_path / "empty cache"),
        "IMAGESET_MODEL_FILE": str(tmp_path / "no weights"),
        "IMAGESET_EMBEDDING_FILE": str(tmp_path / "no weights"),
    }


@pytest.fixture(scope="module")
def fewer(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone whose HEAD has masks of fewer listings, in DVC's remote as well, and an inventory of all listings.

    What fewer listings give is not run any further.
    """
    clone = project.clone(tmp_path_factory.mktemp("fewer") / "project")
    clone.succeed("dvc", "fetch", "data/masks.h5")
    clone.set_param("source.limit", FEWER)
    clone.succeed("dvc", "repro", "masks")
    clone.commit("fewer listings")
    clone.succeed("dvc", "push", "masks")
    clone.set_param("source.limit", "null")
    clone.succeed("dvc", "repro", "inventory")
    clone.commit("all listings")
    return clone


@pytest.fixture
def fresh(fewer: Project, tmp_path: Path) -> Project:
    """A machine with the masks of fewer listings in DVC's cache, the inventory of all, and nothing cached of photos."""
    copied = projects.copy(fewer, tmp_path)
    shutil.rmtree(copied.folder / ".cache")
    return copied


def new_masks(said: str) -> tuple[int, ...]:
    """Return of how many photos stage masks made masks, how many it knew, and how often it asked the bucket."""
    [found] = re.findall(
        r"masks: \d+ photos, (\d+) masks, (\d+) known before, .*; the bucket was asked for (\d+)$", said, re.MULTILINE
    )
    return tuple(map(int, found))


def masks_by_id(project: Project) -> dict[int, bytes]:
    with h5py.File(project.folder / "data/masks.h5") as file:
        return {int(number): mask.tobytes() for number, mask in zip(file["ids"][:], file["masks"][:], strict=True)}


def test_another_fill_needs_neither_weights_nor_an_engine_nor_what_was_cached(
    project: Project, tmp_path: Path, no_engine: dict[str, str]
) -> None:
    """And it gives the bytes of a machine that has all in its caches."""
    clone = project.clone(tmp_path / "clone")
    clone.succeed("dvc", "pull")
    weights = [clone.folder / "models/background.onnx", clone.folder / "models/efficientnet-lite0.pth"]
    for path in weights:
        cached = clone.folder / ".dvc/cache/files/md5" / (md5 := clone.md5(str(path)))[:2] / md5[2:]
        cached.unlink()
        path.unlink()
    before = clone.md5(), clone.md5("data/masks.h5")
    clone.set_param("preprocess.fill", [9, 99, 200])

    ran = clone.stages_that_run("--allow-missing", "build", **no_engine)

    assert ran == ["preprocess", "build"]
    assert clone.md5("data/masks.h5") == before[1]
    assert clone.md5() != before[0]
    assert not any(path.exists() for path in weights)
    assert not list((tmp_path / "empty cache").glob("[me]*.sqlite"))

    other = projects.copy(project, tmp_path / "other")
    other.set_param("preprocess.fill", [9, 99, 200])
    other.succeed("dvc", "repro", "--no-run-cache", "build")

    assert other.md5() == clone.md5()

    # And the engine that fails does fail.
    clone.succeed("dvc", "pull", "model")
    clone.set_param("masks.side", 256)
    failed = clone.run("dvc", "repro", "masks", **no_engine)

    assert failed.returncode != 0
    assert ASKED in failed.stdout + failed.stderr


def test_new_listings_cost_their_own_masks_alone(fresh: Project, project: Project, tmp_path: Path) -> None:
    said = fresh.succeed("dvc", "repro", "masks", IMAGESET_CACHE=str(tmp_path / "cache"))

    assert new_masks(said) == (ALL, FEWER, ALL - FEWER)
    assert f"masks: {FEWER} are taken from the data/masks.h5 that dvc.lock names" in said
    assert fresh.md5("data/masks.h5") == project.md5("data/masks.h5")


@pytest.mark.faults_only
def test_without_a_lock_in_the_working_tree_that_of_head_tells_of_masks(
    fresh: Project, project: Project, tmp_path: Path
) -> None:
    (fresh.folder / "dvc.lock").unlink()
    said = fresh.succeed("dvc", "repro", "masks", IMAGESET_CACHE=str(tmp_path / "cache"))

    assert new_masks(said) == (ALL, FEWER, ALL - FEWER)
    assert fresh.md5("data/masks.h5") == project.md5("data/masks.h5")


@pytest.mark.faults_only
def test_an_experiment_in_a_copy_of_the_project_predicts_new_masks_alone(fresh: Project, tmp_path: Path) -> None:
    said = fresh.succeed("dvc", "exp", "run", "--temp", "masks", IMAGESET_CACHE=str(tmp_path / "cache"))

    assert new_masks(said) == (ALL, FEWER, ALL - FEWER)


def test_a_machine_whose_dvc_lacks_the_masks_makes_all(fresh: Project, project: Project, tmp_path: Path) -> None:
    """It has to make few here. The lost file has masks of these listings as well, and the project has the same."""
    clone, md5 = fresh, fresh.md5("data/masks.h5")
    (clone.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    clone.set_param("source.limit", FEWEST)
    said = clone.succeed("dvc", "repro", "masks", IMAGESET_CACHE=str(tmp_path / "cache"))

    assert new_masks(said) == (FEWEST, 0, FEWEST)
    assert (
        "masks: the data/masks.h5 that dvc.lock names is not in DVC's cache: to use its masks, stop, run `dvc fetch "
        "data/masks.h5`, and start again"
    ) in said
    found = masks_by_id(clone)
    assert len(found) == FEWEST
    assert found.items() <= masks_by_id(project).items()


def test_embeddings_that_another_machine_made_need_no_engine(
    project: Project, tmp_path: Path, no_engine: dict[str, str]
) -> None:
    """Another max_pixels runs the stage, and DVC has removed its output."""
    clone = projects.copy(project, tmp_path)
    before = clone.md5("data/embeddings.h5")
    clone.set_param("preprocess.max_pixels", 10_000_000)
    said = clone.succeed("dvc", "repro", "--no-run-cache", "embed", **no_engine)

    assert f"embed: {ALL} are taken from the data/embeddings.h5 that dvc.lock names" in said
    assert f"embed: {ALL} photos, {ALL} embeddings, {ALL} known before, 0 rejected" in said
    assert clone.md5("data/embeddings.h5") == before


def test_where_neither_network_is_used_no_weights_are_fetched_and_back_again_they_are_found(
    project: Project, tmp_path: Path, no_engine: dict[str, str]
) -> None:
    clone = projects.copy(project, tmp_path)
    before = [clone.md5(path) for path in ("models/background.onnx", "models/efficientnet-lite0.pth")]
    clone.set_param("embed.enabled", "false")
    said = clone.succeed("dvc", "repro", "--no-run-cache", "embed", **no_engine)

    assert "model: u2netp from DVC's cache" in said
    assert "embed: none, as embed.enabled is false" in said
    assert (clone.folder / "models/efficientnet-lite0.pth").read_bytes() == b""

    clone.set_param("embed.enabled", "true")
    said = clone.succeed("dvc", "repro", "--no-run-cache", "model", **no_engine)

    assert "model: efficientnet-lite0 from DVC's cache" in said  # as dvc.lock of HEAD names it
    assert [clone.md5(path) for path in ("models/background.onnx", "models/efficientnet-lite0.pth")] == before


def test_where_backgrounds_are_kept_there_are_no_masks_and_no_weights(
    project: Project, tmp_path: Path, no_engine: dict[str, str]
) -> None:
    clone = projects.copy(project, tmp_path)
    before = clone.md5()
    clone.set_param("masks.background", "keep")
    said = clone.succeed("dvc", "repro", "--no-run-cache", "build", **no_engine)

    assert re.findall(r"Running stage '(\w+)'", said) == ["model", "masks", "preprocess", "build"]
    assert "model: no background removal, as masks.background is keep" in said
    assert "masks: none, as masks.background is keep" in said
    assert (clone.folder / "models/background.onnx").read_bytes() == b""
    assert (clone.folder / "data/masks.csv").read_text().count("\n") == 1
    with h5py.File(clone.folder / "data/masks.h5") as masks, h5py.File(clone.folder / "data/processed.h5") as processed:
        assert len(masks["ids"]) == len(masks["masks"]) == 0
        assert len(processed["images"]) == ALL
    assert clone.md5() != before

    clone.set_param("masks.background", "remove")

    assert clone.stages_that_run("build") == ["model", "masks", "preprocess", "build"]
    assert clone.md5() == before
