"""One bit that flips between PostgreSQL and a stage.

With TLS, none changes a byte of an output. Without it, PostgreSQL's protocol has no checksum: a flipped bit within a
value is another value, which nothing can detect. Any other one ends the stage in bounded time, with one line.
"""

from functools import partial
from pathlib import Path

import pytest

from tests.faults import projects
from tests.faults.proxy import TO_CLIENT, TO_SERVER, Direction, Proxy
from tests.faults.test_outage import require_one_line, require_undisturbed, run_stages
from tests.faults.tls import tls_before
from tests.faults.trials import Trials
from tests.project import Project

PARTS = 12  # of the bytes of a direction
# The first is the sample: within the rows that PostgreSQL sends.
CASES: list[tuple[Direction, int]] = [
    (TO_CLIENT, 10),
    *(
        (direction, part)
        for part in range(PARTS)
        for direction in (TO_CLIENT, TO_SERVER)
        if (direction, part) != (TO_CLIENT, 10)
    ),
]
SECONDS_OF_SILENCE = "5"


@pytest.mark.fault("Bytes", "one bit on the wire of PostgreSQL with TLS: listings", "a proxy before a server with TLS")
def test_with_tls(project: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path) -> None:
    """Detected by TLS: the connection ends, and is made anew where no row had come."""
    trial = projects.copy(project, tmp_path)
    with tls_before(trial.environment["DATABASE_URL"], tmp_path) as url, Proxy.before(url) as proxy:
        run = partial(run_stages, trial, "listings", DATABASE_URL=proxy.replace(url))
        check = partial(require_undisturbed, trial, undisturbed, ("listings",))
        check(run())
        totals = dict(proxy.counted)
        for direction, part in trials.choose(CASES, sample=1):
            with trials.trial(f"{part} of {PARTS} parts of the bytes {direction}"):
                proxy.restore()
                proxy.flip(direction, totals[direction] * part // PARTS, bit=part % 8)
                ended = run()
                assert proxy.injected
                if ended.returncode:
                    require_one_line(ended)
                    proxy.restore()
                    ended = run()
                check(ended)


@pytest.mark.faults_only
@pytest.mark.fault("Bytes", "one bit on the wire of PostgreSQL, no TLS: listings ends", "a proxy")
def test_without_tls(project: Project, undisturbed: dict[str, str], trials: Trials, tmp_path: Path) -> None:
    """A length, a type or a number that is wrong is detected by libpq, the server or the stage."""
    trial = projects.copy(project, tmp_path)
    url = trial.environment["DATABASE_URL"]
    with Proxy.before(url) as proxy:
        run = partial(run_stages, trial, "listings", IMAGESET_DATABASE_SECONDS=SECONDS_OF_SILENCE)
        require_undisturbed(trial, undisturbed, ("listings",), run(DATABASE_URL=proxy.replace(url)))
        totals = dict(proxy.counted)
        for direction, part in trials.choose(CASES, sample=1):
            with trials.trial(f"{part} of {PARTS} parts of the bytes {direction}"):
                proxy.restore()
                proxy.flip(direction, totals[direction] * part // PARTS, bit=part % 8)
                ended = run(DATABASE_URL=proxy.replace(url))
                assert proxy.injected
                if ended.returncode:
                    require_one_line(ended)
                assert projects.find_orphans(trial) == []
                require_undisturbed(trial, undisturbed, ("listings",), run())
