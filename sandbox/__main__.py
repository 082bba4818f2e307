"""`python -m sandbox demo | services | serve | stop`: real servers and a marketplace on this machine (`make help`)."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from dotenv import find_dotenv

from imageset.errors import DiskError, ImagesetError
from imageset.runtime import command, dvc, files
from sandbox import marketplace, servers
from sandbox.child import SECONDS_TO_STOP
from sandbox.ports import HOST

HOME = Path(".sandbox")
ENV_FILE = Path(".env")
ENV_MARK = "# Written by `make services`; `make stop` removes it.\n"
ENV_END = "# That is all.\n"
SECONDS_TO_START = 300
# Settings that would lead to other servers than ours: boto3 reads them before those of `servers.running`.
ELSEWHERE = (
    "AWS_DEFAULT_PROFILE",
    "AWS_ENDPOINT_URL_S3",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_PROFILE",
    "AWS_SECURITY_TOKEN",
    "AWS_SESSION_TOKEN",
)
SOURCE_STAGES = ("listings", "labels", "ingest", "inventory")


def run_demo(photos: Path | None) -> None:
    """Run servers, a marketplace, dvc repro and dvc push, then print where the results are."""
    require_own(Path(find_dotenv(usecwd=True) or ENV_FILE))  # the stages read it
    require_home()
    with servers.running(HOME) as sandbox:
        environment = os.environ | fill_marketplace(sandbox, photos)
        dvc.run("repro", "--force", "--single-item", *SOURCE_STAGES, environment=environment)
        dvc.run("repro", environment=environment)
        dvc.run("push", environment=environment)
        print("sandbox: stopping the servers", flush=True)
    print(
        f"\nThe dataset:  {Path('data/dataset.h5').resolve()}\n"
        f"The report:   {Path('data/report.html').resolve()}\n"
        f"Samples:      {Path('reports/samples.png').resolve()}\n"
        "Next: `. .venv/bin/activate` and `make services`; change a value in params.yaml; `dvc repro` (README.md)."
    )


def fill_marketplace(sandbox: servers.Servers, photos: Path | None) -> dict[str, str]:
    """Make the marketplace and return the settings that reach it. Remember the photos for `make services`."""
    count, name = marketplace.open_marketplace(
        sandbox.environment["DATABASE_URL"], sandbox.photo_url, sandbox.photo_folder, photos
    )
    files.write_text(HOME / "photos.txt", str(photos.resolve()) if photos else "")
    print(f"sandbox: a marketplace of {count} listings at {sandbox.photo_url}", flush=True)
    return sandbox.environment | {"IMAGE_STORE": f"{sandbox.environment['IMAGE_STORE']}/{name}"}


def serve(photos: Path | None) -> None:
    """Run the servers until a signal comes. While they run, .env holds the settings that reach them."""
    require_own(ENV_FILE)
    with servers.running(HOME) as sandbox:
        lines = [f"{name}='{value}'\n" for name, value in fill_marketplace(sandbox, photos).items()]
        require_own(ENV_FILE)  # a person may have written it while the photos were drawn
        ENV_FILE.unlink(missing_ok=True)
        try:
            with open(os.open(ENV_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(ENV_MARK + "".join(lines) + ENV_END)
            signal.sigwait({signal.SIGTERM, signal.SIGINT})
        finally:
            if not written_by_a_person(ENV_FILE):
                ENV_FILE.unlink(missing_ok=True)


def require_own(env_file: Path) -> None:
    """Raise ImagesetError where the file is there and the sandbox did not write it."""
    if written_by_a_person(env_file):
        raise ImagesetError(
            f"{env_file} was not written by the sandbox: move it away first, for example to {env_file}.mine"
        )


def written_by_a_person(env_file: Path) -> bool:
    """Return whether the file is there and the sandbox did not write it."""
    return env_file.exists() and not env_file.read_bytes().startswith(ENV_MARK.encode())


@contextmanager
def locked(name: str, refusal: str) -> Iterator[None]:
    """Hold a lock file. Raises ImagesetError, with this message, where another process holds it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(files.lock(HOME / name))
        except DiskError:
            raise
        except ImagesetError:
            raise ImagesetError(refusal) from None
        yield


# Two starts at once would write the same serve.log and .env.
@locked("start.lock", "the services are being started by another command: wait for it")
def start_services(photos: Path | None) -> None:
    """Start `serve` in the background and return when it is ready."""
    require_own(ENV_FILE)
    require_home()
    ENV_FILE.unlink(missing_ok=True)
    photos = photos or last_photos()
    arguments = ["--photos", str(photos)] if photos else []
    with (HOME / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "sandbox", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    print("sandbox: starting the servers", flush=True)
    try:
        wait_until_served(server)
    except BaseException:  # Ctrl-C, too: `serve` has a session of its own, and would go on
        server.terminate()
        server.wait()
        raise
    print(
        "The services run. The pipeline finds them by .env: `. .venv/bin/activate`, then `dvc repro`.\n"
        "`make stop` ends them. DVC itself does not read .env: `dotenv run -- dvc push`, `dotenv run -- dvc pull`."
    )


def wait_until_served(server: subprocess.Popen[bytes]) -> None:
    """Show what `serve` says until it has written .env. Raises ImagesetError where it ends, or takes too long."""
    log, deadline, shown = HOME / "serve.log", time.monotonic() + SECONDS_TO_START, 0
    while not (ENV_FILE.exists() and ENV_FILE.read_bytes().endswith(ENV_END.encode())):
        if server.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines() or ["their log is empty"]
            raise ImagesetError(f"the services did not start: {lines[-1]} (see {log})")
        if time.monotonic() > deadline:
            raise ImagesetError(f"the services took longer than {SECONDS_TO_START} s to start (see {log})")
        shown = show_progress(shown)
        time.sleep(0.1)
    show_progress(shown)


def require_home() -> None:
    """Raise ImagesetError where a sandbox already runs in this folder."""
    with locked("lock", "the services or a demo already run: `make stop` ends them"):
        pass


def show_progress(shown: int) -> int:
    """Print what `serve` has said since its first `shown` lines, whole lines only; return how many there are by now."""
    *lines, _ = (HOME / "serve.log").read_text(errors="replace").split("\n")
    print("".join(f"{line}\n" for line in lines[shown:] if line), end="", flush=True)
    return len(lines)


def last_photos() -> Path | None:
    """Return the folder of photos of the last marketplace, None if it was drawn."""
    try:
        text = (HOME / "photos.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return Path(text) if text else None


def stop_services() -> None:
    """Stop the background services, if they run."""
    try:
        with files.lock(HOME / "lock"):
            print("No services are running.")
    except DiskError:
        raise
    except ImagesetError:
        with (HOME / "lock").open(encoding="ascii") as file:
            pid = files.read_holder(file)
        if not pid.isdecimal():
            raise ImagesetError(
                f"{HOME / 'lock'} does not say which process runs the services: `lsof {HOME / 'lock'}` names it"
            ) from None
        server = psutil.Process(int(pid))
        server.terminate()
        server.wait(2 * SECONDS_TO_STOP)
        print("The services have stopped.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("demo", "services", "serve"):
        commands.add_parser(name).add_argument(
            "--photos", type=Path, help="folder with a folder of photos for each class; default: draw photos"
        )
    commands.add_parser("stop")
    arguments = parser.parse_args()
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = HOST
    if arguments.command == "stop":
        stop_services()
    else:
        {"demo": run_demo, "services": start_services, "serve": serve}[arguments.command](arguments.photos)


if __name__ == "__main__":
    command.run("sandbox", main)
