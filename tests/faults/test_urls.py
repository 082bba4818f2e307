"""300 hostile URLs and 30 good ones, on a network where every address is a canary that no hostile URL may reach."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

from tests.conftest import jpeg, plain_image
from tests.faults.canary import Outcome
from tests.faults.trials import Trials
from tests.project import ROOT
from tests.web.test_address_guard import (
    FORBIDDEN,
    FORBIDDEN_IPV4,
    FORBIDDEN_IPV6,
    PUBLIC,
    PUBLIC_HOSTS,
    PUBLIC_IPV6,
    SPELLINGS,
    in_url,
)

OPEN = {
    str(ip_address(host.strip("[]"))) for host in [PUBLIC, PUBLIC_IPV6, *PUBLIC_HOSTS] if not host.endswith(".test")
}
OPEN_PORTS = (80, 443, 8080)


@dataclass(frozen=True)
class Case:
    """A URL, and what its names and redirects lead to.

    Attributes:
        url: as a listing has it. {} is the case's own number, so that no two cases share a name or path.
        answers: the addresses of the name case{}.test, one look-up after the other.
        locations: where http://public.test/{}/0, /1, ... redirect to.
        times: how often it is downloaded.
        reaches: whether the canary is reached where it may not be, without the address guard and the rules for URLs.
    """

    url: str
    answers: tuple[tuple[str, ...], ...] = ()
    locations: tuple[str, ...] = ()
    times: int = 1
    reaches: bool = False


# No connection leads to these addresses: they need the name of a device, or are for many machines at once.
NOWHERE = {
    *("fe80::1", "fe80::1%1", "febf::1"),
    *("224.0.0.1", "239.255.255.250", "255.255.255.255", "ff02::1", "ff0e::1"),
}
TARGETS = ["127.0.0.1", "169.254.169.254", "10.0.0.1"]
OTHER_SPELLINGS = [
    "http://%31%32%37.0.0.1/",
    "http://127%2e0%2e0%2e1/",
    "http://127.0.0.1%00.public.test/",
    "http://127.0.0.1%09/",
    "http://127.0.0.1%0d%0aX-Injected:%20yes/",
    "http://127\uff0e0\uff0e0\uff0e1/",
    "http://127\uff610\uff610\uff611/",
    "http://1\u200d27.0.0.1/",
    "http://loc\u00adalhost/",
    "http://\u2112ocalhost/",
    "http://localho\u017ft/",
    "http://127.0.0.1:080/",
    "http://127.0.0.1:00080/",
    "http://127.0.0.1:+80/",
    "http://127.0.0.1:80:80/",
    "http://127.0.0.1:\uff18\uff10/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:///127.0.0.1/",
    "http:////127.0.0.1/",
    "http:\\\\127.0.0.1\\",
    "//127.0.0.1/",
    "HTTP://127.0.0.1/",
    "hTtP://[::ffff:169.254.169.254]/",
    " http://127.0.0.1/",
    "\thttp://127.0.0.1/",
    "ht\ntp://127.0.0.1/",
    "http://127.0.\n0.1/",
    "http://[::1/",
    "http://::1/",
    "http://[127.0.0.1]/",
    f"http://[{PUBLIC}:22]/1.jpg",
    f"http://[{PUBLIC}:25]/1.jpg",
    f"http://[{PUBLIC}:22]:8080/1.jpg",
    "http://[:0:]/1.jpg",
    "http://[public.test:22]/1.jpg",
    "http://[::1].public.test/",
    "http://[::%31]/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]/",
    "http://[::ffff:0x7f.1]/",
    "http://[fd00:ec2::254%25lo]/latest/meta-data/",
    "http://0x7f.0x0.0x0.0x1/",
    "http://0300.0250.0000.0001/",
    "http://3232235521/",
    "http://0xc0a80001/",
    "http://127.0.0.1.:8080/",
    "http://user:password@169.254.169.254/",
    "http://user:password@[::1]:8080/",
    "http://public.test:80@10.0.0.1:8080/",
    "http://public.test%40127.0.0.1/",
    "http://127.0.0.1:8080#@public.test/../",
    "http://localhost:2375/containers/json",
    "http://localhost:6379/",
    "http://127.0.0.1:9200/_search",
    "http://127.0.0.1:11211/",
]
OTHER_SCHEMES = [
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "ftp://127.0.0.1/1.jpg",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/",
    "tftp://127.0.0.1/1",
    "jar:http://127.0.0.1!/1.jpg",
    "data:image/png;base64,iVBORw0KGgo=",
    "javascript:fetch('http://127.0.0.1/')",
    "ws://127.0.0.1/",
    "unix:///var/run/docker.sock",
    "http+unix://%2Fvar%2Frun%2Fdocker.sock/info",
    "view-source:http://127.0.0.1/",
    "https+insecure://127.0.0.1/",
]
PORTS_OF_OTHERS = [21, 22, 25, 53, 81, 445, 1023]
INJECTIONS = [
    "http://public.test/\r\nX-Injected: yes",
    "http://public.test/1.jpg HTTP/1.1\r\nX-Injected: yes\r\n\r\n",
    "http://public.test\r\nX-Injected: yes/",
    "http://public.test/\n1.jpg",
    "http://public.test/\x00",
    "http://public.test/\x7f1.jpg",
    "http://us\r\ner:pass@public.test/",
    "http://public.test:80\r\n/",
]
# URLs that lead nowhere, or where they may, also with both guards off: a control can show nothing for these.
HARMLESS = {
    "yarl takes no such spelling of an address": [
        *("http://127.1/", "http://127.0.1/", "http://0/", "http://10.1/", "http://169.254.43518/"),
        *("http://2130706433/", "http://017700000001/", "http://2852039166/", "http://3232235521/"),
        *("http://0177.0.0.1/", "http://0177.1/", "http://0251.0376.0251.0376/", "http://0300.0250.0000.0001/"),
        *("http://127.0.0.1./", "http://127.0.0.1.:8080/", "http://::1/", "http://[127.0.0.1]/"),
    ],
    "yarl takes no such URL": [
        *("http://127.0.0.1\\@public.test/", "http://public.test\\@127.0.0.1/", "http:\\\\127.0.0.1\\"),
        *("http://1\u200d27.0.0.1/", "http://loc\u00adalhost/", "http://127.0.0.1%0d%0aX-Injected:%20yes/"),
        *("http:127.0.0.1/", "http:/127.0.0.1/", "http:///127.0.0.1/", "http:////127.0.0.1/", "//127.0.0.1/"),
        *("http://127.0.0.1:80:80/", "http://[::1/", "http://[::1].public.test/"),
        "http://public.test\r\nX-Injected: yes/",
    ],
    "no socket takes such an address": [
        *("http://[fe80::1%25lo]/", "http://[::1%25lo]/", "http://[fd00:ec2::254%25lo]/latest/meta-data/"),
        "http://[::ffff:0x7f.1]/",
    ],
    "no name server knows such a name": [
        *("http://%31%32%37.0.0.1/", "http://127%2e0%2e0%2e1/", "http://127.0.0.1%09/"),
        *("http://127.0.0.1%00.public.test/", "http://public.test%40127.0.0.1/"),
    ],
    "only who parses what yarl writes takes the end for a port": [
        *(f"http://[{PUBLIC}:22]/1.jpg", f"http://[{PUBLIC}:25]/1.jpg", f"http://[{PUBLIC}:22]:8080/1.jpg"),
        *("http://[:0:]/1.jpg", "http://[public.test:22]/1.jpg"),
    ],
    "aiohttp knows no such scheme": [url for url in OTHER_SCHEMES if not url.startswith("ws:")],
    "they lead to the public host, and yarl encodes the line ends": INJECTIONS,
}
UNREACHED = {url for urls in HARMLESS.values() for url in urls}


def spelled(url: str) -> Case:
    """Return a case of a URL by itself."""
    return Case(url, reaches=url not in UNREACHED)


def redirected(*targets: str, reaches: bool = False) -> Case:
    """Return a case that redirects from one to the next of some targets."""
    return Case("http://public.test/{}/0", locations=targets, reaches=reaches)


def hops(count: int, last: str) -> tuple[str, ...]:
    """Return so many redirects on the public host, and then one to a target."""
    return (*(f"http://public.test/{{}}/{number + 1}" for number in range(count)), last)


REACHABLE = [address for address in FORBIDDEN if address not in NOWHERE]
HOSTILE = [
    *(Case(f"http://{in_url(address)}/1.jpg", reaches=address in REACHABLE) for address in FORBIDDEN),
    *(Case(f"https://{in_url(address)}:8080/1.jpg", reaches=address in REACHABLE) for address in REACHABLE[::4]),
    *(spelled(url) for url in [*SPELLINGS, *OTHER_SPELLINGS, *OTHER_SCHEMES]),
    *(Case("http://case{}.test/1.jpg", ((address,),), reaches=address in REACHABLE) for address in REACHABLE[::2]),
    *(Case("http://case{}.test/1.jpg", ((PUBLIC,), (address,)), times=2, reaches=True) for address in REACHABLE[1::3]),
    *(Case("http://case{}.test:8080/1.jpg", (tuple(TARGETS[:count]),), reaches=True) for count in (2, 3)),
    *(redirected(f"http://{in_url(address)}/", reaches=True) for address in REACHABLE[::4]),
    *(redirected(*hops(count, f"http://{target}/"), reaches=True) for count in (1, 2, 3, 4) for target in TARGETS),
    *(redirected(url) for url in OTHER_SCHEMES[:8]),
    *(redirected(url, reaches=True) for url in ["//127.0.0.1/", "http://[::1]:8080/", "http://0x7f000001/"]),
    redirected("http://127.1/"),
    redirected(*hops(5, "http://public.test/{}/6"), "http://public.test/{}/0"),
    redirected("http://public.test/{}/0"),
    Case("http://public.test/{}/0", locations=("http://case{}.test/",), answers=(("10.0.0.1",),), reaches=True),
    *(spelled(f"http://public.test:{port}/1.jpg") for port in PORTS_OF_OTHERS),
    *(redirected(f"http://public.test:{port}/1.jpg", reaches=True) for port in PORTS_OF_OTHERS[:4]),
    *(spelled(url) for url in INJECTIONS),
]
GOOD = [
    *(Case(f"http://{host}/1.jpg") for host in PUBLIC_HOSTS),
    Case("HTTP://PUBLIC.TEST/1.jpg"),
    Case("http://public.test:8080/1.jpg"),
    Case("http://public.test./1.jpg"),
    Case("http://user:password@public.test/1.jpg"),
    Case("http://b\u00fccher.test/1.jpg"),
    Case("http://public.test/caf\u00e9 au lait.jpg?signature=a%2Fb&x={{1}}#top"),
    redirected("/1.jpg"),
    redirected(*hops(4, "http://both.test/1.jpg")),
    Case("http://case{}.test/1.jpg", (("10.0.0.1", PUBLIC),)),
    Case("http://case{}.test/1.jpg", (("::1", PUBLIC),)),
]


def run_cases(cases: list[tuple[int, Case]], folder: Path, guard: bool) -> list[Outcome]:
    """Download the URLs of cases, each with its number, on a network of their own."""
    names = {"public.test": [[PUBLIC]], "both.test": [[PUBLIC, PUBLIC_IPV6]], "xn--bcher-kva.test": [[PUBLIC]]}
    names |= {
        "metadata.google.internal": [["169.254.169.254"]],
        "localhost": [["127.0.0.1"]],
        "ip6-localhost": [["::1"]],
    }
    redirects = {}
    for number, case in cases:
        if case.answers:
            names[f"case{number}.test"] = [list(answer) for answer in case.answers]
        for hop, location in enumerate(case.locations):
            redirects[f"/{number}/{hop}"] = location.replace("{}", str(number))
    (folder / "photo").write_bytes(jpeg(plain_image()))
    urls = [(case.url.replace("{}", str(number)), case.times) for number, case in cases]
    content = {"photo": str(folder / "photo"), "names": names, "redirects": redirects, "urls": urls, "guard": guard}
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", "tests.faults.canary"],
        cwd=ROOT,
        input=json.dumps(content),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return [Outcome(**outcome) for outcome in json.loads(done.stdout)]


@pytest.fixture(scope="module", autouse=True)
def _own_network() -> None:
    """Skip where there are no network namespaces for everybody, or no `ip`."""
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("a network of one's own needs ip (iproute2) and unshare (util-linux)")
    command = ["unshare", "--user", "--map-root-user", "--net", "ip", "link", "set", "lo", "up"]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this system lets nobody have a network of one's own: unshare --user --net fails")


def forbidden(outcome: Outcome) -> list[tuple[str, int]]:
    """Return where the canary was reached and may not be."""
    return [(host, port) for host, port in outcome.reached if host not in OPEN or port not in OPEN_PORTS]


def test_there_are_300_hostile_urls_and_30_good_ones() -> None:
    assert len(set(HOSTILE)) >= 300
    assert len(set(GOOD)) == 30
    assert len(FORBIDDEN_IPV4) + len(FORBIDDEN_IPV6) == len(FORBIDDEN)


@pytest.mark.fault("Urls", "a url that leads where none may", "a network where every address is a canary")
def test_no_hostile_url_reaches_the_canary(trials: Trials, tmp_path: Path) -> None:
    cases = trials.choose(list(enumerate(HOSTILE)), sample=80)
    for (_, case), outcome in zip(cases, run_cases(cases, tmp_path, guard=True), strict=True):
        with trials.trial(repr(case)):
            assert forbidden(outcome) == []
            assert outcome.ends[-1] != "photo", outcome
            assert not [end for end in outcome.ends if "crash" in end], outcome
            assert not [head for head in outcome.requests if "X-Injected" in head], outcome


@pytest.mark.fault("Urls", "a good url", "the same network")
def test_every_good_url_is_fetched(trials: Trials, tmp_path: Path) -> None:
    cases = list(enumerate(GOOD, len(HOSTILE)))
    for (_, case), outcome in zip(cases, run_cases(cases, tmp_path, guard=True), strict=True):
        with trials.trial(repr(case)):
            assert outcome.ends == ["photo"]
            assert forbidden(outcome) == []


@pytest.mark.fault("Urls", "control: without the guards, the url reaches the canary if it can", "the same network")
def test_without_the_guards_the_canary_is_reached(trials: Trials, tmp_path: Path) -> None:
    """The address guard, and the rules for URLs."""
    cases = trials.choose(list(enumerate(HOSTILE)), sample=80)
    for (_, case), outcome in zip(cases, run_cases(cases, tmp_path, guard=False), strict=True):
        with trials.trial(repr(case)):
            assert bool(forbidden(outcome)) == case.reaches, outcome


def test_few_hostile_urls_have_no_control() -> None:
    """Each of them is listed with its reason, or leads to an address that no connection leads to."""
    without = [case for case in HOSTILE if not case.reaches]

    assert {case.url for case in without} >= UNREACHED
    assert len(without) - len(UNREACHED) == len(NOWHERE) + len(OTHER_SCHEMES[:8]) + len(["127.1", "6 hops", "endless"])
    assert len(without) < len(HOSTILE) / 3
