"""How long a database may send nothing, and how a connection notices that its server is gone.

A server that dies resets its connections. A server that hangs does not, nor does a network that drops packets. Without
a limit, the driver waits for ever.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy

SECONDS_TO_CONNECT = 10
SECONDS_BETWEEN_LOOKS = 0.5  # at whether somebody wants the query to end
# After 30 s of silence, the kernel asks every 10 s whether the server is there. It gives up after 3 questions. On Linux
# it also gives up where the server acknowledges nothing for 60 s.
KEEPALIVES = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
OF_LIBPQ = {"connect_timeout": SECONDS_TO_CONNECT, **KEEPALIVES}
OF_MYSQL = {"connect_timeout": SECONDS_TO_CONNECT}


def connect_options(driver: str, seconds: int) -> dict[str, int]:
    """Return the time limits for a driver, as its connect() takes them; nothing for a driver not known here.

    Args:
        driver: its name, as SQLAlchemy has it.
        seconds: how long the database may send nothing.
    """
    options: dict[str, dict[str, int]] = {
        "psycopg2": OF_LIBPQ,
        "psycopg": OF_LIBPQ,
        "pg8000": {"timeout": seconds},
        "pymysql": {**OF_MYSQL, "read_timeout": seconds, "write_timeout": seconds},
        "mysqldb": {**OF_MYSQL, "read_timeout": seconds, "write_timeout": seconds},
        "pymssql": {"login_timeout": SECONDS_TO_CONNECT, "timeout": seconds},
    }
    return options.get(driver, {})


class Silence:
    """The limit on how long psycopg2 waits for its server.

    Attributes:
        seconds: the limit now. A server that sends anything starts the time anew.
        doing: what the server does, as a message says it.
        stopped: whether somebody wants it to end now.
    """

    def __init__(self) -> None:
        self.seconds = SECONDS_TO_CONNECT
        self.doing = "it was connected to"
        self.stopped = False

    def wait(self, connection: Any) -> None:
        """Wait until the server has answered (a wait callback of psycopg2). Signals interrupt it.

        psycopg2 closes the connection after any exception. Raises psycopg2.OperationalError.
        """
        from psycopg2 import OperationalError, extensions

        events = {extensions.POLL_READ: select.POLLIN, extensions.POLL_WRITE: select.POLLOUT}
        heard = time.monotonic()
        while (state := connection.poll()) != extensions.POLL_OK:
            poller = select.poll()
            poller.register(connection.fileno(), events[state])
            while not poller.poll(1000 * SECONDS_BETWEEN_LOOKS):
                if self.stopped:
                    raise OperationalError("stopped")
                if time.monotonic() - heard > self.seconds:
                    raise OperationalError(
                        f"it sent nothing for {self.seconds} s while {self.doing}: look at what the server does, or "
                        f"allow more, such as IMAGESET_DATABASE_SECONDS={2 * self.seconds}"
                    )
            heard = time.monotonic()

    @contextmanager
    def limiting(self, engine: sqlalchemy.Engine) -> Iterator[None]:
        """Wait for answers with `wait` inside the block, where the driver is psycopg2."""
        if engine.dialect.driver != "psycopg2":
            yield
            return
        from psycopg2 import extensions

        def connect(dialect: Any, record: Any, arguments: Any, parameters: Any) -> Any:
            # libpq itself limits connecting, for each host of several. With a callback it does not.
            extensions.set_wait_callback(None)
            connection = dialect.connect(*arguments, **parameters)
            extensions.set_wait_callback(self.wait)
            return connection

        sqlalchemy.event.listen(engine, "do_connect", connect)
        try:
            yield
        finally:
            extensions.set_wait_callback(None)
