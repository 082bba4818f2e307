"""The objects on this machine's disk: only what was added comes back, within the bound, and no run fails over it."""

import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import replace
from hashlib import md5
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imageset.storage import object_cache
from imageset.storage.bucket import Bucket, StoredObject
from imageset.storage.object_cache import ObjectCache
from tests.project import ROOT

CLIENT = SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:1"))
BUCKET = Bucket(None, CLIENT, "photos", "shop/")
MB = 1_000_000
PHOTO_BYTES = 10_000
LARGE_PHOTO = 60_000


def photo(number: int, size: int = PHOTO_BYTES) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def listed(body: bytes, key: str = "1.jpeg") -> StoredObject:
    return StoredObject(key, md5(body).hexdigest(), len(body), "")


def keep(folder: Path, *bodies: bytes, max_bytes: int = MB) -> None:
    """Keep objects as a process of its own does, in a pack of its own."""
    with closing(ObjectCache(folder, max_bytes, BUCKET)) as cache:
        for body in bodies:
            cache.add(listed(body), body)
        cache.flush()


def find(folder: Path, *bodies: bytes) -> list[bool]:
    """Return which objects are found, each with the bytes that it was listed with."""
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        found = [cache.find(listed(body)) for body in bodies]
        cache.flush()
    assert all(got in (body, None) for got, body in zip(found, bodies, strict=True))
    return [got is not None for got in found]


def newest_pack(folder: Path) -> int:
    return int(execute(folder, "SELECT number FROM packs ORDER BY used DESC")[0][0])


def execute(folder: Path, statement: str, *values: Any) -> list[Any]:
    """Run SQL on the index from outside the project."""
    with closing(sqlite3.connect(folder / "index.sqlite", isolation_level=None)) as database:
        return database.execute(statement, values).fetchall()


def pack_sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.glob("*.pack")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "objects"


def test_what_was_added_is_found_by_other_processes_byte_for_byte(folder: Path) -> None:
    bodies = [b"", b"\0", bytes(range(256)) * 100, *(photo(number, 4 * number) for number in range(1, 300))]
    keep(folder, *bodies)

    assert find(folder, *bodies) == [True] * len(bodies)
    assert find(folder, b"other", b"\1") == [False, False]


def test_an_object_is_found_when_it_is_written_and_not_before(folder: Path) -> None:
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        cache.add(listed(b"photo"), b"photo")

        assert cache.find(listed(b"photo")) is None

        cache.flush()

        assert cache.find(listed(b"photo")) == b"photo"


def test_the_same_content_is_found_wherever_it_is_and_other_etags_only_in_their_object(folder: Path) -> None:
    other_bucket = replace(BUCKET, name="other")
    content = StoredObject("1.jpeg", "d" * 32, 5, "version 1")
    opaque = StoredObject("1.jpeg", "W/etag-of-a-server", 5, "version 1")
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        for stored in (content, opaque):
            cache.add(stored, b"photo")
        cache.flush()
    with closing(ObjectCache(folder, MB, other_bucket)) as other, closing(ObjectCache(folder, MB, BUCKET)) as same:
        assert other.find(replace(content, key="2.jpeg", version_id="version 2")) == b"photo"
        assert other.find(opaque) is None
        assert same.find(opaque) == b"photo"
        for change in ({"key": "2.jpeg"}, {"version_id": "version 2"}, {"etag": "other"}, {"bytes": 6}):
            assert same.find(replace(opaque, **change)) is None

        other.add(opaque, b"other")
        other.flush()

        assert (same.find(opaque), other.find(opaque)) == (b"photo", b"other")


# Damage


def flip(pack: Path) -> None:
    content = bytearray(pack.read_bytes())
    content[PHOTO_BYTES + 5] ^= 1
    pack.write_bytes(content)


def cut(pack: Path) -> None:
    os.truncate(pack, 2 * PHOTO_BYTES - 1)


def swap(pack: Path) -> None:
    content = pack.read_bytes()
    pack.write_bytes(content[:PHOTO_BYTES] + content[2 * PHOTO_BYTES :] + content[PHOTO_BYTES : 2 * PHOTO_BYTES])


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (flip, [True, False, True]),
        (cut, [True, False, False]),
        (swap, [True, False, False]),
        (Path.unlink, [False, False, False]),
    ],
)
def test_a_damaged_object_is_not_found_and_can_be_added_again(
    damage: Callable[[Path], None], expected: list[bool], folder: Path
) -> None:
    bodies = [photo(number) for number in range(3)]
    keep(folder, *bodies)
    (pack,) = folder.glob("*.pack")
    damage(pack)

    assert find(folder, *bodies) == expected
    assert execute(folder, "SELECT count(*) FROM objects") == [(sum(expected),)]

    keep(folder, *bodies)

    assert find(folder, *bodies) == [True] * 3


# The bound


def test_the_objects_that_were_not_used_for_longest_are_removed_first(folder: Path) -> None:
    bodies = [photo(number) for number in range(12)]
    for number, body in enumerate(bodies[:10]):
        keep(folder, body, max_bytes=10 * PHOTO_BYTES)
        execute(folder, "UPDATE packs SET used = ? WHERE used > 1000", number)
    find(folder, bodies[0], bodies[3])
    keep(folder, bodies[10], max_bytes=10 * PHOTO_BYTES)
    keep(folder, bodies[11], max_bytes=10 * PHOTO_BYTES)

    assert find(folder, *bodies) == [number not in (1, 2) for number in range(12)]
    assert pack_sizes(folder) == [PHOTO_BYTES] * 10


def test_the_bytes_on_the_disk_stay_within_the_bound_and_the_last_ones_are_kept(folder: Path) -> None:
    bodies = [photo(number) for number in range(300)]
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        for start in range(0, 300, 7):
            for body in bodies[start : start + 7]:
                cache.add(listed(body), body)
            cache.flush()

            assert sum(pack_sizes(folder)) <= MB

    assert sum(pack_sizes(folder)) > 0.8 * MB
    assert find(folder, *bodies[-80:]) == [True] * 80
    assert find(folder, *bodies[:200]) == [False] * 200


def test_a_smaller_bound_holds_from_the_next_object_on(folder: Path) -> None:
    keep(folder, *(photo(number) for number in range(90)))
    keep(folder, photo(100), max_bytes=MB // 4)

    assert sum(pack_sizes(folder)) <= MB // 4
    assert find(folder, photo(100)) == [True]


def test_objects_that_would_displace_many_are_not_kept(folder: Path) -> None:
    fits, too_large = photo(1, MB // 8), photo(2, MB // 8 + 4)
    keep(folder, too_large, fits)

    assert find(folder, too_large, fits) == [False, True]


def test_more_than_the_queue_holds_is_written_before_it_is_asked_to(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_cache, "LARGEST_QUEUE", 3 * PHOTO_BYTES)
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        for number in range(5):
            cache.add(listed(photo(number)), photo(number))

        assert sum(pack_sizes(folder)) == 4 * PHOTO_BYTES


def test_more_small_objects_than_one_call_writes_are_written(folder: Path) -> None:
    bodies = [str(number).encode() for number in range(2 * object_cache.MOST_BUFFERS + 1)]
    keep(folder, *bodies)

    assert find(folder, *bodies) == [True] * len(bodies)
    assert len(pack_sizes(folder)) == 1


def test_a_bound_of_0_finds_and_keeps_nothing(folder: Path) -> None:
    keep(folder, b"photo", max_bytes=0)

    assert not folder.exists()

    keep(folder, b"photo")
    with closing(ObjectCache(folder, 0, BUCKET)) as cache:
        assert cache.find(listed(b"photo")) is None


# Several processes


def use_at_once(folder: Path, first: int, start: Barrier) -> int:
    """Add 200 objects, 100 of them the other process's too, and look for others meanwhile; return how many it found."""
    found = 0
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        start.wait(30)
        for number in range(first, first + 200):
            body = photo(number)
            cache.add(listed(body), body)
            if number % 5 == 0:
                cache.flush()
            for other in range(max(0, number - 50), number):
                got = cache.find(listed(photo(other)))
                assert got in (photo(other), None)
                found += got is not None
        assert cache.max_bytes
    return found


def test_processes_that_add_and_find_at_once_read_only_what_was_added(folder: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(2, mp_context=spawn) as pool:
        start = manager.Barrier(2)
        futures = [pool.submit(use_at_once, folder, first, start) for first in (0, 100)]  # type: ignore[arg-type]
        found = [future.result(60) for future in futures]

    assert min(found) > 1000
    assert sum(pack_sizes(folder)) <= MB
    assert sum(pack_sizes(folder)) == execute(folder, "SELECT sum(bytes) FROM packs")[0][0]
    assert {f"{number:016x}.pack" for (number,) in execute(folder, "SELECT number FROM packs")} == {
        path.name for path in folder.glob("*.pack")
    }
    assert execute(folder, "SELECT count(*) FROM objects WHERE pack NOT IN (SELECT number FROM packs)") == [(0,)]


def test_a_process_whose_pack_another_one_removed_starts_a_new_one(folder: Path) -> None:
    with closing(ObjectCache(folder, 10 * PHOTO_BYTES, BUCKET)) as cache:
        cache.add(listed(photo(1)), photo(1))
        cache.flush()
        execute(folder, "UPDATE packs SET used = 0")
        for number in range(2, 12):
            keep(folder, photo(number), max_bytes=10 * PHOTO_BYTES)

        assert cache.find(listed(photo(1))) is None

        cache.add(listed(photo(12)), photo(12))
        cache.flush()

    assert find(folder, photo(12)) == [True]
    assert sum(pack_sizes(folder)) == 10 * PHOTO_BYTES


PROGRAM = """
import sys
from pathlib import Path
from tests.storage.test_object_cache import BUCKET, LARGE_PHOTO, MB, ObjectCache, listed, photo
cache = ObjectCache(Path(sys.argv[1]), MB, BUCKET)
{code}
"""
ADD_THREE = """
photos = [photo(number, LARGE_PHOTO) for number in range(3)]
for body in photos:
    cache.add(listed(body), body)
    cache.flush()
print([cache.find(listed(body)) for body in photos])
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, and then add three large photos and print what is found of them."""
    command = [sys.executable, "-c", PROGRAM.format(code=code + ADD_THREE), str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


KILLED_WHILE_WRITING = """
import os, signal
def write_half(descriptor, bodies):
    os.write(descriptor, bodies[0][: len(bodies[0]) // 2])
    os.kill(os.getpid(), signal.SIGKILL)
os.writev = write_half
"""


def test_a_process_that_is_killed_while_it_writes_leaves_nothing_that_does_not_count(folder: Path) -> None:
    keep(folder, photo(9))

    assert run(KILLED_WHILE_WRITING, folder).returncode == -signal.SIGKILL
    assert sum(pack_sizes(folder)) == PHOTO_BYTES + LARGE_PHOTO // 2
    assert execute(folder, "SELECT sum(bytes) FROM packs") == [(PHOTO_BYTES + LARGE_PHOTO,)]
    assert find(folder, photo(0, LARGE_PHOTO), photo(9)) == [False, True]


# The folder is removed, full, or cannot be used


def test_the_folder_may_be_removed_while_it_is_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(ObjectCache(folder, MB, BUCKET)) as reader, closing(ObjectCache(folder, MB, BUCKET)) as writer:
        for turn in range(3):
            body = photo(turn)
            writer.add(listed(body), body)
            writer.flush()
            reader.flush()

            assert reader.find(listed(body)) == body
            assert (folder / "index.sqlite").exists()

            shutil.rmtree(folder)

            assert reader.find(listed(body)) is None

    assert capsys.readouterr() == ("", "")


def test_packs_that_lost_their_index_are_removed(folder: Path) -> None:
    keep(folder, *(photo(number) for number in range(3)))
    for path in folder.glob("index.sqlite*"):
        path.unlink()
    keep(folder, photo(4))

    assert pack_sizes(folder) == [PHOTO_BYTES]


def limit_files(size: int) -> str:
    return f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"


NOT_ITS_OWNER = """
import os
os.chmod(sys.argv[1], 0o500)
if os.getuid() == 0:
    os.setuid(65534)
"""


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (limit_files(LARGE_PHOTO + LARGE_PHOTO // 2), "No space left on device"),  # the second photo fits in part
        (limit_files(LARGE_PHOTO), "File too large"),
        (limit_files(5000), "disk I/O error"),
        (NOT_ITS_OWNER, "Permission denied"),
    ],
)
def test_what_the_disk_refuses_is_one_line_and_the_run_goes_on(code: str, reason: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    done = run(code, folder)

    assert (done.returncode, done.stdout) == (0, "[None, None, None]\n")
    assert done.stderr.count("\n") == 1
    assert re.match(rf"{folder}(/index\.sqlite)?: {reason}", done.stderr)
    assert done.stderr.endswith("; from now on photos are not kept on this disk, but read from the bucket each time\n")


def file_in_the_way(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a file")


def damaged_index(folder: Path) -> None:
    keep(folder, photo(1))
    (folder / "index.sqlite").write_bytes(b"<html>not found</html>" * 1000)


def other_version(folder: Path) -> None:
    keep(folder, photo(1))
    execute(folder, "ALTER TABLE packs ADD COLUMN other")


@pytest.mark.parametrize("spoil", [file_in_the_way, damaged_index, other_version])
def test_a_folder_that_is_no_cache_is_one_line_and_the_run_goes_on(
    spoil: Callable[[Path], None], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        assert cache.find(listed(photo(1))) is None

        cache.add(listed(photo(1)), photo(1))
        cache.flush()

        assert cache.find(listed(photo(1))) is None

    said = capsys.readouterr().err
    assert re.match(rf"{folder}(/index\.sqlite)?: ", said)
    assert said.count("\n") == 1


def test_of_several_processes_one_says_that_nothing_is_kept(folder: Path) -> None:
    file_in_the_way(folder)
    code = "print(cache.find(listed(photo(1))), flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", PROGRAM.format(code=code), str(folder)]
    options: dict[str, Any] = {"cwd": ROOT, "stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, **options) for _ in range(3)]
    assert [process.stdout.readline() for process in processes if process.stdout] == ["None\n"] * 3
    said = [process.communicate(timeout=30)[1] for process in processes]

    assert "".join(said).count("\n") == 1


# Prune


def test_prune_removes_what_no_run_has_used_for_some_days(folder: Path) -> None:
    ages = (0, 29, 31, 2000)
    for days in ages:
        keep(folder, photo(days), photo(10_000 + days))
        execute(folder, "UPDATE packs SET used = used - ? WHERE rowid = ?", 86_400 * days, newest_pack(folder))
    removed = object_cache.prune(folder, 30)

    assert removed == (4, 4 * PHOTO_BYTES)
    assert find(folder, *map(photo, ages)) == [True, True, False, False]
    assert pack_sizes(folder) == [2 * PHOTO_BYTES] * 2


# Takedowns


def forget(folder: Path, *bodies: bytes, samples: tuple[bytes, ...] = ()) -> object_cache.Pruned:
    return object_cache.forget(folder, BUCKET, map(listed, bodies), map(object_cache.take_sample, samples))


def packs_with(folder: Path, body: bytes) -> int:
    return sum(body in path.read_bytes() for path in folder.glob("*.pack"))


def test_a_takedown_removes_the_pack_of_an_object_whole(folder: Path) -> None:
    keep(folder, photo(1), photo(2))
    keep(folder, photo(3))

    assert forget(folder, photo(1), b"unknown") == (2, 2 * PHOTO_BYTES)
    assert find(folder, photo(1), photo(2), photo(3)) == [False, False, True]
    assert packs_with(folder, photo(1)) == packs_with(folder, photo(2)) == 0
    assert forget(folder, photo(1)) == (0, 0)


def test_a_takedown_finds_bytes_that_the_index_does_not_name(folder: Path) -> None:
    """As a run leaves them that was killed, or one that kept the same object as another."""
    keep(folder, photo(1), photo(2))
    keep(folder, photo(1))
    keep(folder, photo(3))
    assert packs_with(folder, photo(1)) == 2

    forget(folder, photo(1))  # the index names one pack; its bytes are found in the other

    assert packs_with(folder, photo(1)) == 0

    keep(folder, photo(4))
    execute(folder, "DELETE FROM objects")
    forget(folder, photo(4), samples=(photo(4),))

    assert packs_with(folder, photo(4)) == 0
    assert packs_with(folder, photo(3)) == 1


def test_a_process_that_uses_a_pack_goes_on_after_a_takedown(folder: Path) -> None:
    with closing(ObjectCache(folder, MB, BUCKET)) as cache:
        cache.add(listed(photo(1)), photo(1))
        cache.flush()
        forget(folder, photo(1))

        assert cache.find(listed(photo(1))) is None

        cache.add(listed(photo(2)), photo(2))
        cache.flush()

        assert cache.find(listed(photo(2))) == photo(2)
    assert packs_with(folder, photo(1)) == 0


def test_an_empty_pack_is_no_trouble_for_a_takedown(folder: Path) -> None:
    keep(folder, photo(1))
    (folder / f"{5:016x}.pack").touch()

    assert forget(folder, photo(2), samples=(photo(2), b"")) == (0, 0)
    assert find(folder, photo(1)) == [True]
