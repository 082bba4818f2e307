"""One bit that flips in a listing of the bucket: over http nothing protects it, so stages must find what is wrong."""

import re
from pathlib import Path

import pytest

from tests.faults.projects import copy, find_changed
from tests.faults.proxy import TO_CLIENT, Proxy
from tests.faults.test_bytes import run_by_hand
from tests.faults.trials import Trials
from tests.project import Project

PLACES = 24
INVENTORY = "data/inventory.csv"


@pytest.mark.faults_only
@pytest.mark.fault("Bytes", "one bit of a listing on the wire from S3: inventory, or masks after it", "a proxy")
def test_listing(project: Project, undisturbed: dict[str, str], tmp_path: Path, trials: Trials) -> None:
    """A wrong key is missing in stage inventory. A wrong etag or size is found when masks asks for the photo."""
    trial = copy(project, tmp_path)
    url = trial.environment["AWS_ENDPOINT_URL"]
    with Proxy.before(url) as proxy:
        code, said = run_by_hand(trial, "inventory", AWS_ENDPOINT_URL=proxy.replace(url))
        sent = proxy.counted[TO_CLIENT]

    assert code == 0, said
    for number in trials.choose(range(PLACES), sample=2):
        at = number * sent // PLACES
        with Proxy.before(url) as proxy, trials.trial(f"byte {at}, bit {number % 8}"):
            proxy.flip(TO_CLIENT, at, number % 8)
            code, said = run_by_hand(trial, "inventory", AWS_ENDPOINT_URL=proxy.replace(url))
            assert proxy.injected
            is_wrong = code == 0 and find_changed(trial, undisturbed, "inventory") != []
            if is_wrong:
                code, said = run_by_hand(trial, "masks")
                assert code == 1, f"a wrong {INVENTORY} was used: {said}"
                assert run_by_hand(trial, "inventory")[0] == 0
            assert code == 0 or re.search(f"^{'masks' if is_wrong else 'inventory'}: .+$", said.splitlines()[-1]), said
            assert "Traceback" not in said
            assert find_changed(trial, undisturbed, "inventory", "masks") == []
