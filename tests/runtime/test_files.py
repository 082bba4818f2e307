"""Files: whole or not there; one holder of a lock."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imageset.errors import ImagesetError
from imageset.runtime import files
from tests.project import ROOT

# Holds the lock of argv[1], says so, and waits until its stdin is closed.
HOLD = """
import sys
from pathlib import Path
from imageset.runtime import files
with files.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds a lock; return when it does."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_written_file_is_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    files.write_text(path, "é\n")

    assert path.read_bytes() == b"\xc3\xa9\n"
    assert list(path.parent.iterdir()) == [path]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with files.atomic(path) as temporary:
        temporary.write_text("new")
        before = path.read_text()

    assert (before, path.read_text()) == ("old", "new")


def fill_disk(path: Path) -> None:
    """Write to a disk that is full, as text, pictures and tables are written."""
    with Path("/dev/full").open("w") as file:
        file.write("a table")


def close_hdf5(path: Path) -> None:
    """Fail as h5py does when it closes a file on a full disk."""
    raise RuntimeError(f"Can't decrement id ref count (file write failed: filename = '{path}', errno = 28, error mess")


def copy_to_full_disk(path: Path) -> None:
    """Fail as shutil.copyfile does, which names what it reads first."""
    raise OSError(errno.ENOSPC, "No space left on device", "/tmp/weights.onnx", None, str(path))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
@pytest.mark.parametrize("write", [fill_disk, close_hdf5, copy_to_full_disk])
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "reports" / "samples.png"

    with pytest.raises(ImagesetError, match=rf"^{path}: its disk is full: make room, then run this again$"):
        write_with(path, write)
    assert list(path.parent.iterdir()) == []


def test_an_error_that_names_its_file_stays_as_it_is(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/other")

    with pytest.raises(OSError, match="/tmp/other"):
        write_with(tmp_path / "table.csv", fail)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with one block and two files left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k,nr_inodes=4", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        (disk / "first").write_bytes(bytes(4096))
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_takes_no_more_files_is_an_error_that_names_the_file(small_disk: Path) -> None:
    for name in ("second", "third"):
        (small_disk / name).touch()
    for path in (small_disk / "table.csv", small_disk / "reports" / "table.csv"):
        with pytest.raises(ImagesetError, match=rf"^{path}: its disk is full: make room, then run this again$"):
            files.write_text(path, "")


def test_a_full_disk_below_a_lock_is_an_error_that_names_the_lock(small_disk: Path) -> None:
    (small_disk / "second").write_bytes(bytes(4096))
    path = small_disk / "report.lock"
    with (
        pytest.raises(ImagesetError, match=rf"^{path}: its disk is full: make room, then run this again$"),
        files.lock(path),
    ):
        pass


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    with files.atomic(path) as temporary:
        write(temporary)


@pytest.mark.parametrize("failure", [ValueError, OSError, KeyboardInterrupt, SystemExit])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: type[BaseException]) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail_half_way() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fill_the_disk() -> None:
        with files.atomic(path) as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_text("new")

    with pytest.raises(ImagesetError, match=r"table\.csv: its disk is full"):
        fill_the_disk()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_run_left_is_not_taken_for_new(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with files.atomic(path) as temporary:
        temporary.write_text("first")
        name = temporary.name
    (tmp_path / name).write_text("left behind, and longer than what follows")
    with files.atomic(path) as temporary, temporary.open("a") as file:
        file.write("second")

    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_writes_nothing_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), files.atomic(tmp_path / "table.csv"):
        pass

    assert list(tmp_path.iterdir()) == []


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)

    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_disk_without_room_is_refused_with_the_file_and_the_sizes(tmp_path: Path) -> None:
    files.require_space(tmp_path / "new" / "small.h5", 1000)

    with pytest.raises(ImagesetError, match=r"large\.h5: needs 10,000,000,000,000 MB, the disk has [\d,]+ MB left"):
        files.require_space(tmp_path / "large.h5", 10**19)


def test_a_held_lock_is_refused_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / ".cache" / "split.lock"
    with hold(path) as holder, pytest.raises(ImagesetError) as caught, files.lock(path):
        pytest.fail("the lock was given twice")

    assert f"(pid {holder.pid})" in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_run_that_has_lost_its_lock_to_another_one_leaves_its_files(tmp_path: Path) -> None:
    """Somebody removes .cache while a stage runs, and starts the stage again. Both have the same temporary name."""
    path, output = tmp_path / ".cache" / "split.lock", tmp_path / "split.csv"
    output.write_text("old")
    with ExitStack() as second:

        def lose_the_lock() -> None:
            with files.lock(path), files.atomic(output) as temporary:
                temporary.write_text("whole")
                path.unlink()
                second.enter_context(hold(path))
                temporary.unlink()
                temporary.write_text("half")

        with pytest.raises(ImagesetError, match=rf"^{path} was removed .* another run is active"):
            lose_the_lock()

    assert output.read_text() == "old"
    assert (tmp_path / ".split.csv.tmp").read_text() == "half"


def test_a_lock_that_is_removed_and_not_taken_ends_nothing(tmp_path: Path) -> None:
    path, output = tmp_path / ".cache" / "split.lock", tmp_path / "split.csv"
    with files.lock(path), files.atomic(output) as temporary:
        temporary.write_text("whole")
        path.unlink()

    assert output.read_text() == "whole"
    files.write_text(output, "another")
    assert output.read_text() == "another"


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "split.lock"
    with hold(path) as holder:
        holder.kill()

    with files.lock(path):
        assert path.read_text() != str(holder.pid)


def test_a_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "split.lock"
    with pytest.raises(ValueError, match="oops"), files.lock(path):
        raise ValueError("oops")
    with files.lock(path):
        held = path.read_text()

    assert held.isdigit()


@pytest.mark.parametrize("before", ["", "2147483646"])
def test_a_refused_lock_names_the_process_that_has_just_got_it(tmp_path: Path, before: str) -> None:
    """Between getting the lock and writing the pid, the file is empty or has the pid of an earlier run."""
    path = tmp_path / "split.lock"
    with files.lock(path):
        path.write_text(before)
        writing = threading.Timer(0.2, path.write_text, [str(os.getpid())])
        writing.start()
        with pytest.raises(ImagesetError, match=rf"another run is active \(pid {os.getpid()}\)"), files.lock(path):
            pass
        writing.join()
