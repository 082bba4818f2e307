"""One bit that flips: on the wire, in the bucket, in a cache, in DVC's cache and remote, in a file between stages."""

import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest
import yaml

from imageset.errors import DataError
from imageset.formats import hdf5, row_checksums
from imageset.runtime import files
from sandbox.s3 import open_client
from tests.documents import blocks, read
from tests.faults.projects import copy, find_changed, md5_of_outputs, read_outputs
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Proxy
from tests.faults.test_outage import require_one_line
from tests.faults.trials import Trials
from tests.formats.test_row_checksums import WRITERS, read_all
from tests.project import ROOT, Project

GRAPH = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
MADE = {next(iter(out)) if isinstance(out, dict) else out: stage for stage, its in GRAPH.items()
        for kind in ("outs", "metrics", "plots") for out in its.get(kind, ())}  # fmt: skip
# The inputs of every stage that an earlier stage made.
INPUTS = [(stage, dep) for stage, its in GRAPH.items() for dep in its["deps"] if dep in MADE]
TABLES = [(stage, dep) for stage, dep in INPUTS if not dep.endswith(".h5")]
# dataset.h5 is read in part by report and page, so they check no more of it than HDF5 does.
OF_NEAR_DUPLICATES = (("report", "data/thumbnails.h5"), ("duplicates", "data/previews.h5"))  # the project has none
ARRAYS = [
    (stage, dep)
    for stage, dep in INPUTS
    if dep.endswith(".h5") and dep != "data/dataset.h5" and (stage, dep) not in OF_NEAR_DUPLICATES
]
BITS_OF_A_FILE = 400


def flip(path: Path, place: int, bit: int = 0) -> None:
    """Flip a bit as a disk does: inode, size, time and mode stay."""
    before = path.stat()
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(place)
        [value] = file.read(1)
        file.seek(place)
        file.write(bytes([value ^ 1 << bit]))
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def find_row(path: Path, row: int) -> int:
    """Return a place within a row of a file between stages, or of the images of dataset.h5."""
    with h5py.File(path) as file:
        kind = file.attrs["format"]
        array = file["train_images" if kind == hdf5.DATASET else row_checksums.ROWS[kind]]
        if array.chunks:
            return int(array.id.get_chunk_info(row).byte_offset) + 3
        start = file["ends"][row - 1] if kind == hdf5.PREVIEWS else row * array[0].nbytes
        return int(array.id.get_offset() + start) + 3


def run_by_hand(project: Project, stage: str, **changes: str) -> tuple[int, str]:
    """Run the command of dvc.yaml without DVC. Return its exit code and what it said."""
    done = project.run(*shlex.split(GRAPH[stage]["cmd"].removeprefix("exec ")), **changes)
    return done.returncode, done.stderr


def run_anew(project: Project, undisturbed: dict[str, str], stage: str, said: str = "", **changes: str) -> bool:
    """Run a stage without its outputs, as DVC does, and tell whether it succeeded: then with the undisturbed md5.

    Else it must have ended with one line that has this pattern, and without outputs. No pattern: it must succeed.
    """
    for name in read_outputs(project.folder)[stage]:
        (project.folder / name).unlink(missing_ok=True)
    ended = project.run(*shlex.split(GRAPH[stage]["cmd"].removeprefix("exec ")), **changes)
    if not ended.returncode:
        assert find_changed(project, undisturbed, stage) == []
        return True
    assert said, ended.stderr
    require_one_line(ended)
    assert re.search(said, ended.stderr.splitlines()[-1]), ended.stderr
    assert md5_of_outputs(project, stage) == {}
    return False


def restore(project: Project, said: str, name: str) -> None:
    """Do what a message says about a damaged file: remove it, then run the command."""
    [command] = re.findall(f"{re.escape(name)} [^;]*?: remove it, then `(dvc [^`]+)`", said)
    (project.folder / name).unlink()
    project.succeed(*command.split())


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Put a file back afterwards, with its time."""
    content, before = path.read_bytes(), path.stat()
    yield
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.fault("Bytes", "one bit in any place of an HDF5 file between stages", "flipped in the file")
def test_any_place_of_a_file_between_stages(tmp_path: Path, trials: Trials) -> None:
    cases = []
    for kind, write in WRITERS.items():
        write(tmp_path / f"{kind}.h5")
        size = (tmp_path / f"{kind}.h5").stat().st_size
        cases += [(kind, place * size // BITS_OF_A_FILE, place % 8) for place in range(BITS_OF_A_FILE)]
    for kind, place, bit in trials.choose(cases, sample=60):
        path = tmp_path / f"{kind}.h5"
        with restored(path):
            written = read_all(path, kind)
            flip(path, place, bit)
            with trials.trial(f"{kind}, byte {place}, bit {bit}"):
                try:
                    assert read_all(path, kind) == written, "other values, and no error"
                except DataError as error:
                    assert str(path) in str(error)  # noqa: PT017


@pytest.mark.fault(
    "Bytes", "one bit in a table, JSON file or network between stages", "flipped in the file, its time kept"
)
def test_tables_between_stages(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the stage's edge: the md5 in dvc.lock."""
    damage_inputs(
        copy(project, tmp_path),
        undisturbed,
        trials,
        TABLES,
        place=lambda path: path.stat().st_size // 2,
        said=lambda stage, name: f"{stage}: {name} is not as stage {MADE[name]} wrote it",
    )


@pytest.mark.fault("Bytes", "one bit in a row of an HDF5 file between stages", "flipped in the file, its time kept")
def test_rows_between_stages(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the row's CRC-32, in the stage that reads it."""
    damage_inputs(
        copy(project, tmp_path),
        undisturbed,
        trials,
        ARRAYS,
        place=lambda path: find_row(path, 2),
        said=lambda stage, name: f"{name} is damaged at row 2",
    )


def damage_inputs(
    trial: Project,
    undisturbed: dict[str, str],
    trials: Trials,
    inputs: list[tuple[str, str]],
    place: Callable[[Path], int],
    said: Callable[[str, str], str],
) -> None:
    """Damage each input of each stage, and do what the stage's message says. Then the stage runs.

    Args:
        inputs: stages, and an input of each.
        place: of the byte that is changed in a file.
        said: what a stage says about an input.
    """
    of_stage: dict[str, list[str]] = {}
    for stage, name in trials.choose(inputs, sample=1):
        of_stage.setdefault(stage, []).append(name)
    for stage, names in of_stage.items():
        made = []
        for name in names:
            path = trial.folder / name
            with restored(path), trials.trial(f"{stage}: {name}") as trial_name:
                made.append(trial_name)
                flip(path, place(path))
                code, printed = run_by_hand(trial, stage)
                assert code == 1, printed
                assert said(stage, name) in printed, printed
                restore(trial, printed, name)
                assert files.md5(path) == undisturbed[name]
        with trials.charge(*made):
            assert run_anew(trial, undisturbed, stage)


READ = "from imageset.reader import ImageSet; ImageSet('data/dataset.h5', 'train', verify=True)"
# Stage validate writes what baseline reads, so it comes later.
READERS: dict[str, list[str]] = {
    "baseline": shlex.split(GRAPH["baseline"]["cmd"].removeprefix("exec ")),
    "validate": shlex.split(GRAPH["validate"]["cmd"].removeprefix("exec ")),
    "tools.verify": ["python", "-m", "tools.verify", "data/dataset.h5"],
    "tools.export": ["python", "-m", "tools.export", "exported", "--to", "numpy"],
    "ImageSet": ["python", "-c", READ],
}  # fmt: skip


@pytest.mark.fault("Bytes", "one bit in the arrays of dataset.h5", "flipped in the file, its time kept")
def test_dataset(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by its content digest. docs/reliability.md says to remove the file; dvc checkout restores it."""
    trial = copy(project, tmp_path)
    path = trial.folder / "data/dataset.h5"
    with h5py.File(path) as file:
        names = sorted(file)
        places = {name: file[name].id.get_offset() + file[name].id.get_storage_size() // 2 for name in names}
    cases = trials.choose([(reader, name) for reader in READERS for name in names], sample=2)
    for reader in dict.fromkeys(reader for reader, _ in cases):
        made = []
        for name in [name for each, name in cases if each == reader]:
            with restored(path), trials.trial(f"{reader}: {name}") as numbered:
                made.append(numbered)
                flip(path, places[name])
                done = trial.run(*READERS[reader])
                assert done.returncode == 1, done.stdout + done.stderr
                assert "data/dataset.h5" in done.stdout + done.stderr
        with trials.charge(*made):
            path.unlink()
            trial.succeed("dvc", "checkout", "data/dataset.h5")
            trial.succeed(*READERS[reader])
            assert find_changed(trial, undisturbed) == []


@pytest.mark.faults_only
@pytest.mark.fault("Bytes", "one bit in data/processed.h5, then `dvc repro` with another param", "flipped in the file")
def test_the_message_brings_the_right_bytes(
    project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials
) -> None:
    """Without checksums a wrong dataset passed all checks, and DVC's run cache brought it back after the repair."""
    trial = copy(project, tmp_path, real_cache=True)
    path = trial.folder / "data/processed.h5"
    trial.succeed("dvc", "status", "--quiet", "build")  # now DVC knows the inodes of the copy
    flip(path, find_row(path, 2))
    trial.set_param("augment.seed", 77)
    with trials.trial("dvc repro"):
        failed = trial.run("dvc", "repro", "build")
        assert failed.returncode, failed.stdout
        [said] = re.findall("data/processed.h5 is damaged at row 2: .*", failed.stderr)
        for command in ("rm data/processed.h5", re.findall("`(dvc checkout .*?)`", said)[0]):
            trial.succeed(*command.split())
        trial.succeed("git", "checkout", "--", "params.yaml")
        trial.succeed("dvc", "repro")
        assert find_changed(trial, undisturbed) == []


@pytest.mark.fault("Bytes", "one bit in DVC's cache", "flipped in its copy of an output")
def test_dvc_cache(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """`dvc checkout` restores the damaged bytes. The next stage detects them; docs/reliability.md says what to do."""
    find_damaged = next(each for each in blocks(read("docs/reliability.md"), "bash") if "md5sum .dvc/cache" in each)
    trial = copy(project, tmp_path, real_cache=True)
    for name, stage in trials.choose(
        [("data/catalog.csv", "split"), ("data/processed.h5", "build"), ("data/masks.h5", "preprocess")], sample=1
    ):
        with trials.trial(name):
            kept = trial.folder / ".dvc/cache/files/md5" / undisturbed[name][:2] / undisturbed[name][2:]
            flip(kept, find_row(kept, 2) if name.endswith(".h5") else 40)
            (trial.folder / name).unlink()
            trial.succeed("dvc", "checkout", name)
            code, said = run_by_hand(trial, stage)
            assert (code, name in said) == (1, True), said
            [damaged] = trial.succeed("bash", "-c", find_damaged).split()
            assert trial.folder / damaged == kept
            (trial.folder / name).unlink()
            kept.unlink()
            trial.succeed("dvc", "pull", name)
            assert find_changed(trial, undisturbed) == []


@pytest.mark.fault("Bytes", "one bit in DVC's remote", "the object is put again, with the bit flipped")
def test_dvc_remote(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by DVC, as .dvc/config sets `verify`."""
    trial = copy(project, tmp_path, real_cache=True, remote=True)
    for name in trials.choose(["data/catalog.csv", "data/processed.h5", "models/background.onnx"], sample=1):
        with trials.trial(name):
            md5 = undisturbed[name]
            key = f"files/md5/{md5[:2]}/{md5[2:]}"
            flip_object(trial, trial.succeed("dvc", "config", "remote.storage.url").strip(), key)
            (trial.folder / ".dvc/cache" / key).unlink()
            (trial.folder / name).unlink()
            failed = trial.run("dvc", "pull", name)
            assert failed.returncode, failed.stdout
            assert not (trial.folder / name).exists()


def flip_object(trial: Project, url: str, key: str) -> None:
    """Put an object again with a flipped bit, all its metadata as it was."""
    name, _, prefix = url.removeprefix("s3://").partition("/")
    where = {"Bucket": name, "Key": f"{prefix.rstrip('/')}/{key}".lstrip("/")}
    client = open_client(trial.environment)
    found = client.get_object(**where)
    body = bytearray(found["Body"].read())
    body[len(body) // 2] ^= 1
    client.put_object(**where, Body=bytes(body), Metadata=found["Metadata"])


@pytest.mark.faults_only
@pytest.mark.fault("Bytes", "one bit in an object of the bucket", "the object is put again, with the bit flipped")
def test_bucket(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the etag that the inventory pinned; where that is new, by the sha256 in the object's metadata."""
    trial = copy(project, tmp_path, bucket=True)
    keys = [line.split(",")[0] for line in (trial.folder / "data/inventory.csv").read_text().splitlines()[1:]]
    for key in trials.choose(keys[:3], sample=1):
        flip_object(trial, trial.environment["IMAGE_STORE"], key)
        made = []
        for stage in ("preprocess", "masks"):
            with trials.trial(f"{key}: {stage}") as name:
                made.append(name)
                forget_photos(trial)
                if stage == "masks":  # of the new inventory, which has the etag of the damaged object
                    assert run_by_hand(trial, "inventory")[0] == 0
                assert not run_anew(trial, undisturbed, stage, said=re.escape(key))
        with trials.charge(*made):
            flip_object(trial, trial.environment["IMAGE_STORE"], key)  # back
            for stage in ("inventory", "masks", "preprocess"):
                assert run_anew(trial, undisturbed, stage)


def forget_photos(trial: Project) -> None:
    """Remove what the caches have of photos and pixels, so that the bucket is asked."""
    for path in (trial.folder / ".cache").glob("pixels.sqlite*"):
        path.unlink()
    shutil.rmtree(trial.folder / ".cache/objects", ignore_errors=True)


@pytest.mark.faults_only
@pytest.mark.fault("Bytes", "one bit on the wire from S3", "a proxy")
def test_from_s3(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the checksum of a body, or by the sha256 in its metadata: the photo is asked for again."""
    trial = copy(project, tmp_path)
    url = trial.environment["AWS_ENDPOINT_URL"]
    for at in trials.choose([100, 5_000, 20_000, 35_000, 50_000, 70_000], sample=1):
        with Proxy.before(url) as proxy, trials.trial(f"byte {at}"):
            forget_photos(trial)
            proxy.flip(TO_CLIENT, at)
            passed = run_anew(trial, undisturbed, "preprocess", said="s3://", AWS_ENDPOINT_URL=proxy.replace(url))
            assert proxy.injected
            assert passed or run_anew(trial, undisturbed, "preprocess")


@pytest.mark.faults_only
@pytest.mark.fault("Bytes", "one bit on the wire to S3", "a proxy")
def test_to_s3(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the server: the request has the SHA-256 of the photo, and its headers are signed."""
    trial = copy(project, tmp_path)
    url = trial.environment["AWS_ENDPOINT_URL"]
    for at in trials.choose([300, 3_000, 10_000, 30_000, 60_000], sample=1):
        store = f"{trial.environment['IMAGE_STORE']}-to-s3-{at}"
        with Proxy.before(url) as proxy, trials.trial(f"byte {at}"):
            proxy.flip(TO_SERVER, at, bit=2)
            run_anew(trial, undisturbed, "ingest", "s3://", AWS_ENDPOINT_URL=proxy.replace(url), IMAGE_STORE=store)
            assert proxy.injected
        with trials.trial(f"byte {at}, the run after it"):
            for stage in ("ingest", "inventory"):
                assert run_anew(trial, undisturbed, stage, IMAGE_STORE=store)


def flip_in_cache(path: Path, part: int, parts: int) -> None:
    flip(path, path.stat().st_size * part // parts + 11, part % 8)


@pytest.mark.fault("Bytes", "one bit in a cache", "flipped in the file")
def test_caches(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the checksum of a row or by SQLite: the photo is processed again, or the stage names the file."""
    files_of = {
        "masks": ["masks.sqlite"],
        "embed": ["embeddings.sqlite"],
        "preprocess": ["pixels.sqlite"],
        "ingest": ["ingest.sqlite"],
    }
    cases = [(stage, name, part) for stage, names in files_of.items() for name in names for part in range(1, 6)]
    trial = copy(project, tmp_path)
    for stage, name, part in trials.choose(cases, sample=2):
        path = trial.folder / ".cache" / name
        with restored(path), trials.trial(f"{name}, part {part}"):
            flip_in_cache(path, part, 6)
            if not run_anew(trial, undisturbed, stage, said=f"{name}: .*; it may be removed"):
                path.unlink()
                assert run_anew(trial, undisturbed, stage)


@pytest.mark.fault("Bytes", "one bit in the cache of photos", "flipped in the file")
def test_photo_cache(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """Detected by the CRC-32 of the photo: it is read from the bucket."""
    trial = copy(project, tmp_path)
    paths = sorted(path for path in (trial.folder / ".cache/objects").iterdir() if path.stat().st_size)
    for number in trials.choose(range(6), sample=1):
        path = paths[number % len(paths)]
        with restored(path), trials.trial(f"{path.name}, part {number}"):
            for each in (trial.folder / ".cache").glob("pixels.sqlite*"):
                each.unlink()
            flip_in_cache(path, number + 1, 8)
            assert run_anew(trial, undisturbed, "preprocess")
