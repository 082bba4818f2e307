"""Caches and host limits, beside simple models of them, through sequences of calls that hypothesis draws.

Each machine does at random what runs, people and disks do: it works, is killed, runs again, finds rows damaged. After
each step it must be as its model says. `make faults` draws more and longer sequences.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from imageset.errors import HostGivenUp
from imageset.photos import cache as cache_module
from imageset.photos.cache import PhotoCache
from imageset.storage.bucket import Bucket, StoredObject
from imageset.web import host_limits
from imageset.web.host_limits import FAILURES_TO_OPEN, LONGEST_PAUSE, MAX_PAUSES, MAX_PAUSES_IF_NEVER_ANSWERED
from imageset.web.refusals import BY_PARAMS, DEFINITE, TEMPORARY, RefusalCache
from tests.faults.trials import ALL, Trials
from tests.web.own_clock import Loop

SEQUENCES, STEPS = (150, 50) if ALL else (15, 30)


class Machine(RuleBasedStateMachine):
    """A machine that counts the sequences in which a fault came."""

    with_fault: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.had_fault = False

    def note_fault(self) -> None:
        if not self.had_fault:
            type(self).with_fault += 1
        self.had_fault = True


def run_machine(machine: type[Machine], trials: Trials) -> None:
    """Run a machine; each sequence with a fault is a trial."""
    machine.with_fault = 0
    drawn = settings(max_examples=SEQUENCES, stateful_step_count=STEPS, derandomize=True, database=None)
    with trials.trial(machine.__name__):
        run_state_machine_as_test(machine, settings=drawn)
    trials.trials += machine.with_fault - 1


class CacheFolder(Machine):
    """A machine with a folder for a cache's file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.path = self.folder / "cache.sqlite"

    def teardown(self) -> None:
        shutil.rmtree(self.folder)


def damage(content: Any, place: int) -> Any:
    """Return a cell's content with one bit changed, or another content where it has no bits."""
    if isinstance(content, str | bytes) and content:
        body = bytearray(content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content)
        body[place % len(body)] ^= 1 << place % 8
        return bytes(body)
    return content + 1 if isinstance(content, int | float) else b"\xff"


# Refusals

KEYS = st.sampled_from([f"{number}.jpeg" for number in range(4)])
URLS = st.sampled_from(["http://a/1", "http://a/2"])
REASONS = st.sampled_from(sorted(DEFINITE | BY_PARAMS | TEMPORARY))
COLUMNS = ["key", "url", "reason", "limits", "crc32"]


class Refusals(CacheFolder):
    """Model: what was last remembered for each key and URL, with the params of that run."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.params, self.robots = "10 bytes", "obey"
        self.open()

    def open(self) -> None:
        self.cache = RefusalCache(self.path, self.params, self.robots)

    @rule(key=KEYS, url=URLS, reason=REASONS)
    def remember(self, key: str, url: str, reason: str) -> None:
        self.cache.remember(key, url, reason)
        if reason not in TEMPORARY:
            self.model[key, url] = reason, self.params, self.robots

    @rule(params=st.sampled_from(["10 bytes", "20 bytes"]), robots=st.sampled_from(["obey", "ignore"]))
    def run_again(self, params: str, robots: str) -> None:
        self.cache.close()
        self.params, self.robots = params, robots
        self.open()

    @rule(reasons=st.sets(REASONS, max_size=3))
    def retry(self, reasons: set[str]) -> None:
        self.cache.forget(reasons)
        self.model = {place: known for place, known in self.model.items() if known[0] not in reasons}

    @rule(keys=st.sets(KEYS, max_size=2))
    def take_down(self, keys: set[str]) -> None:
        self.cache.forget_photos(keys)
        self.model = {place: known for place, known in self.model.items() if place[0] not in keys}

    @precondition(lambda self: self.model)
    @rule(column=st.sampled_from(COLUMNS), which=st.integers(0, 99), place=st.integers(0, 999))
    def damage_a_cell(self, column: str, which: int, place: int) -> None:
        rows = self.cache.database.execute(f"SELECT rowid, key, url, {column} FROM refusals").fetchall()
        rowid, key, url, content = rows[which % len(rows)]
        if column == "crc32":
            self.cache.database.execute("UPDATE refusals SET crc32 = ? WHERE rowid = ?", (content + 1, rowid))
        else:
            statement = f"UPDATE OR REPLACE refusals SET {column} = CAST(? AS TEXT) WHERE rowid = ?"
            self.cache.database.execute(statement, (damage(content, place), rowid))
        self.model.pop((key, url), None)
        self.remove_damaged()
        self.note_fault()

    @precondition(lambda self: len(self.model) > 1)
    @rule(column=st.sampled_from(["reason", "limits", "crc32"]), which=st.integers(0, 99))
    def exchange_cells(self, column: str, which: int) -> None:
        rows = self.cache.database.execute(f"SELECT rowid, key, url, {column} FROM refusals").fetchall()
        one, other = rows[which % len(rows)], rows[(which + 1) % len(rows)]
        if one[3] == other[3]:
            return
        for rowid, content in ((one[0], other[3]), (other[0], one[3])):
            self.cache.database.execute(f"UPDATE refusals SET {column} = ? WHERE rowid = ?", (content, rowid))
        for row in (one, other):
            self.model.pop((row[1], row[2]), None)
        self.remove_damaged()
        self.note_fault()

    def remove_damaged(self) -> None:
        """Remove all rows that no model has: a row that is damaged twice may be right again."""
        for rowid, key, url in self.cache.database.execute("SELECT rowid, key, url FROM refusals").fetchall():
            if (key, url) not in self.model:
                assert (key, url) not in self.cache.reasons()
                self.cache.database.execute("DELETE FROM refusals WHERE rowid = ?", (rowid,))

    @invariant()
    def knows_what_was_remembered_and_is_valid(self) -> None:
        assert self.cache.reasons() == {
            place: reason
            for place, (reason, params, robots) in self.model.items()
            if (robots == self.robots if reason == "robots_txt" else reason in DEFINITE or params == self.params)
        }

    def teardown(self) -> None:
        self.cache.close()
        super().teardown()


# Results of photos

BUCKET = Bucket(None, SimpleNamespace(meta=SimpleNamespace(endpoint_url="http://127.0.0.1:1")), "photos", "shop/")
OBJECTS = [StoredObject(f"{number}.jpeg", f"{number:032x}", 1000, "") for number in range(4)]
STORED, RECIPES = st.sampled_from(OBJECTS), st.sampled_from(["one", "other"])
VALUES = st.tuples(st.none() | st.text(max_size=3), st.none() | st.binary(max_size=5), st.none() | st.integers(0, 9))
SCHEMA = ("things", "reason TEXT, content BLOB, number INTEGER")

Key = tuple[StoredObject, str]
Values = tuple[Any, ...]


class Results(CacheFolder):
    """Model: the values of each object and recipe, as of the last commit, and what is queued since."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[Key, Values] = {}
        self.old: set[Key] = set()  # not used for longer than a prune allows
        self.queued: list[tuple[Key, Values | None]] = []  # None: used
        self.patches = [
            mock.patch.object(cache_module, "SECONDS_BETWEEN_COMMITS", 1e9),
            mock.patch.object(cache_module, "PHOTOS_BETWEEN_COMMITS", 1e9),
        ]
        for patch in self.patches:
            patch.start()
        self.recipe = "one"
        self.open()

    def open(self) -> None:
        self.cache = PhotoCache(self.path, *SCHEMA, BUCKET, self.recipe)

    @rule(stored=STORED, values=VALUES)
    def put(self, stored: StoredObject, values: Values) -> None:
        self.cache.put(self.cache.make_key(stored), stored.etag, *values)
        self.queued.append(((stored, self.recipe), values))

    @rule(stored=STORED)
    def look_up(self, stored: StoredObject) -> None:
        key = stored, self.recipe
        assert self.cache.look_up(self.cache.make_key(stored)) == self.model.get(key)
        if key in self.old:
            self.queued.append((key, None))

    @rule()
    def commit(self) -> None:
        self.cache.commit()
        for key, values in self.queued:
            if values is not None:
                self.model[key] = values
            self.old.discard(key)
        self.queued.clear()

    @rule(recipe=RECIPES)
    def run_again(self, recipe: str) -> None:
        self.commit()
        self.cache.close()
        self.recipe = recipe
        self.open()

    @rule()
    def kill(self) -> None:
        self.cache.database.close()
        self.queued.clear()
        self.open()
        self.note_fault()

    @rule(stored=STORED)
    def take_down(self, stored: StoredObject) -> None:
        found = [key for key in self.model if key[0] == stored]
        assert cache_module.forget(self.path, *SCHEMA, [stored.etag]) == len(found)
        self.remove(found)

    @rule(stored=STORED)
    def age(self, stored: StoredObject) -> None:
        self.cache.database.execute("UPDATE things SET used = '2020-01-01' WHERE etag = ?", (stored.etag,))
        self.old |= {key for key in self.model if key[0] == stored}

    @rule()
    def prune(self) -> None:
        assert cache_module.prune(self.path, *SCHEMA, 30) == len(self.old)
        self.remove(list(self.old))

    def remove(self, keys: list[Key]) -> None:
        self.old.difference_update(keys)
        for key in keys:
            del self.model[key]

    @precondition(lambda self: any(key[1] == self.recipe for key in self.model))
    @rule(
        column=st.sampled_from(["crc32", "etag", "reason", "content", "number"]),
        which=st.integers(0, 99),
        place=st.integers(0, 999),
    )
    def damage_a_cell(self, column: str, which: int, place: int) -> None:
        mine = sorted((key for key in self.model if key[1] == self.recipe), key=str)
        stored, recipe = mine[which % len(mine)]
        key = self.cache.make_key(stored)
        ((content,),) = self.cache.database.execute(f"SELECT {column} FROM things WHERE key = ?", (key,)).fetchall()
        self.cache.database.execute(f"UPDATE things SET {column} = ? WHERE key = ?", (damage(content, place), key))
        self.lose(stored, recipe)

    @precondition(lambda self: len({key[0] for key in self.model if key[1] == self.recipe}) > 1)
    @rule(which=st.integers(0, 99))
    def exchange_rows(self, which: int) -> None:
        mine = sorted((key for key in self.model if key[1] == self.recipe), key=str)
        (one, _), (other, _) = mine[which % len(mine)], mine[(which + 1) % len(mine)]
        keys = self.cache.make_key(one), self.cache.make_key(other)
        for old, new in ((keys[0], b""), (keys[1], keys[0]), (b"", keys[1])):
            self.cache.database.execute("UPDATE things SET key = ? WHERE key = ?", (new, old))
        self.lose(one, self.recipe)
        self.lose(other, self.recipe)

    def lose(self, stored: StoredObject, recipe: str) -> None:
        """Check that a damaged row is unknown, and remove it: a second damage might make it right again."""
        key = self.cache.make_key(stored)
        assert self.cache.look_up(key) is None
        self.cache.database.execute("DELETE FROM things WHERE key = ?", (key,))
        self.remove([(stored, recipe)])
        self.note_fault()

    @invariant()
    def knows_what_was_committed(self) -> None:
        for stored in OBJECTS:
            key = self.cache.make_key(stored)
            with self.without_notes():
                assert self.cache.look_up(key) == self.model.get((stored, self.recipe))

    @contextmanager
    def without_notes(self) -> Iterator[None]:
        queued = list(self.cache.queued)
        yield
        self.cache.queued = queued

    def teardown(self) -> None:
        self.cache.database.close()
        for patch in self.patches:
            patch.stop()
        super().teardown()


# Limits of a host

MOST_REQUESTS = 6


class HostLimits(Machine):
    """Model: failures in a row, pauses without an answer, and until when the host is left alone.

    Requests take real slots, in an event loop with a clock of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.runner = asyncio.Runner(loop_factory=lambda: self.loop)
        self.patch = mock.patch.object(host_limits, "time", self.loop.clock)
        self.patch.start()
        self.runner.run(self.make_host())
        self.failures = self.pauses = self.waiting = self.given_up_requests = 0
        self.resume_at = 0.0
        self.has_answered = False
        self.tasks: list[asyncio.Task[None]] = []
        self.asking: list[tuple[int, asyncio.Event]] = []  # the epoch of each request that has a slot, and its end

    async def make_host(self) -> None:
        self.host = host_limits.Host("shop.example:80", MOST_REQUESTS, 1)

    async def request(self) -> None:
        self.waiting += 1
        try:
            async with self.host.slot() as epoch:
                self.waiting -= 1
                assert self.loop.time() >= self.resume_at, "asked within a pause"
                end = asyncio.Event()
                self.asking.append((epoch, end))
                assert len(self.asking) <= self.host.limit, "asked above the limit"
                await end.wait()
        except HostGivenUp:
            self.waiting -= 1
            self.given_up_requests += 1

    def settle(self, seconds: float = 0.0) -> None:
        """Let time pass, then all tasks come to their next wait."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            for _ in range(30):
                await asyncio.sleep(0)

        self.runner.run(wait())

    @rule()
    def ask(self) -> None:
        if self.waiting < 2 * MOST_REQUESTS:
            self.tasks.append(self.loop.create_task(self.request()))
            self.settle()

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 70.0]))
    def wait(self, seconds: float) -> None:
        self.settle(seconds)

    def end_request(self, which: int) -> tuple[int, bool]:
        """End one of the requests that have a slot; return its epoch, and whether its report counts."""
        epoch, end = self.asking.pop(which % len(self.asking))
        end.set()
        return epoch, epoch == self.host.epoch

    def expect_pause(self) -> None:
        seconds = min(2.0**self.pauses, LONGEST_PAUSE)
        self.resume_at = max(self.resume_at, self.loop.time() + seconds)
        self.pauses += 1

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 99), latency=st.sampled_from([0.0, 0.01, 0.1, 5.0]))
    def answer(self, which: int, latency: float) -> None:
        epoch, counts = self.end_request(which)
        self.host.record_answer(epoch, latency)
        if counts:
            self.failures = self.pauses = 0
            self.has_answered = True
        self.settle()

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 99), retry_after=st.sampled_from([None, -1.0, 0.0, 2.5, 3600.0]))
    def throttle(self, which: int, retry_after: float | None) -> None:
        epoch, counts = self.end_request(which)
        before = self.host.limit
        self.host.record_throttling(epoch, "status 429", retry_after)
        self.has_answered = True
        if retry_after is not None:
            self.resume_at = max(self.resume_at, self.loop.time() + min(retry_after, LONGEST_PAUSE))
        if counts:
            self.expect_pause()
        assert self.host.limit == (max(1, before // 2) if counts else before)
        self.note_fault()
        self.settle()

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 99))
    def fail(self, which: int) -> None:
        epoch, counts = self.end_request(which)
        self.host.record_failure(epoch, "TimeoutError")
        if counts:
            self.failures += 1
            if self.failures >= FAILURES_TO_OPEN:
                self.expect_pause()
                assert self.host.limit == 1
        self.note_fault()
        self.settle()

    @invariant()
    def is_as_the_model(self) -> None:
        assert (self.host.failures, self.host.pauses) == (self.failures, self.pauses)
        assert self.host.resume_at == pytest.approx(self.resume_at)
        most = MAX_PAUSES if self.has_answered else MAX_PAUSES_IF_NEVER_ANSWERED
        assert self.host.given_up == (self.pauses > most)
        assert 1 <= self.host.limit <= MOST_REQUESTS

    @invariant()
    def nobody_waits_without_a_reason(self) -> None:
        is_paused = self.loop.time() < self.resume_at
        assert not self.waiting or is_paused or len(self.asking) >= self.host.limit

    def teardown(self) -> None:
        for _ in self.tasks:
            while self.asking:
                self.end_request(0)
            self.settle(100.0)
        try:
            assert not self.waiting
            for task in self.tasks:
                task.result()  # raises what an assertion in it has raised
        finally:
            self.patch.stop()
            self.runner.close()


@pytest.mark.fault("Fuzzing", "refusals that are damaged, exchanged or of other params", "hypothesis, a state machine")
def test_refusals(trials: Trials) -> None:
    run_machine(Refusals, trials)


@pytest.mark.fault(
    "Fuzzing", "cached results that are damaged, exchanged or not committed", "hypothesis, a state machine"
)
def test_results(trials: Trials) -> None:
    run_machine(Results, trials)


@pytest.mark.fault("Fuzzing", "hosts that throttle, fail and come back", "hypothesis, a state machine")
def test_host_limits(trials: Trials) -> None:
    run_machine(HostLimits, trials)
