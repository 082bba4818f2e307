"""The proxy that injects the faults of networks."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.faults.proxy import TO_CLIENT, TO_SERVER, Proxy

MESSAGE = bytes(range(100))


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve_one(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1000):
                    connection.sendall(data)
            except OSError:
                pass  # the proxy cut it

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy.before(f"http://127.0.0.1:{echo}/") as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    connection.settimeout(0.3)
    return connection


def ask(connection: socket.socket, count: int = len(MESSAGE)) -> bytes:
    connection.sendall(MESSAGE)
    received = b""
    while len(received) < count:
        data = connection.recv(1000)
        if not data:
            break
        received += data
    return received


def test_all_is_forwarded_and_counted_over_connections(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert ask(one) == ask(other) == MESSAGE
    assert proxy.counted == {TO_SERVER: 200, TO_CLIENT: 200}
    assert (proxy.connections, proxy.injected) == (2, 0)


def test_end_of_one_direction_is_forwarded(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        connection.sendall(MESSAGE)
        connection.shutdown(socket.SHUT_WR)

        received = b""
        while data := connection.recv(1000):
            received += data
    assert received == MESSAGE


@pytest.mark.parametrize("stay_down", [True, False])
def test_cut_resets_after_so_many_bytes(proxy: Proxy, stay_down: bool) -> None:
    proxy.cut(TO_CLIENT, at=130, stay_down=stay_down)
    with connect(proxy) as connection:
        assert ask(connection) == MESSAGE
        with pytest.raises(ConnectionError):
            ask(connection)
    assert proxy.injected == 1
    if stay_down:
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        proxy.restore()
    with connect(proxy) as connection:
        assert ask(connection) == MESSAGE


@pytest.mark.parametrize("stay_down", [True, False])
def test_kill_is_called_once_and_the_bytes_behind_it_are_lost(proxy: Proxy, stay_down: bool) -> None:
    calls: list[str] = []
    proxy.kill(TO_CLIENT, 30, lambda: calls.append("killed"), stay_down)
    with connect(proxy) as connection:
        assert ask(connection, 30) == MESSAGE[:30]
        assert ask(connection) == MESSAGE  # this server is alive, and its connection is open
    assert (calls, proxy.injected) == (["killed"], 1)
    if stay_down:
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)


def test_drop_forwards_up_to_a_byte_and_keeps_the_connection(proxy: Proxy) -> None:
    proxy.drop(TO_CLIENT, at=30)
    with connect(proxy) as connection:
        assert ask(connection, 30) == MESSAGE[:30]
        for _ in range(2):
            with pytest.raises(TimeoutError):
                ask(connection)
    with connect(proxy) as later, pytest.raises(TimeoutError):
        ask(later)
    assert proxy.injected == 1
    proxy.restore()
    with connect(proxy) as connection:
        assert ask(connection) == MESSAGE


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
def test_one_bit_of_a_byte_is_flipped_once(proxy: Proxy, direction: str) -> None:
    proxy.flip(TO_SERVER if direction == TO_SERVER else TO_CLIENT, at=107, bit=3)
    with connect(proxy) as connection:
        answers = [ask(connection) for _ in range(3)]
    flipped = bytearray(MESSAGE)
    flipped[7] ^= 8
    assert answers == [MESSAGE, bytes(flipped), MESSAGE]
    assert proxy.injected == 1


def test_refused_from_the_start_until_restored(proxy: Proxy) -> None:
    with connect(proxy) as before:
        assert ask(before) == MESSAGE
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        assert ask(before) == MESSAGE
    proxy.restore()
    with connect(proxy) as connection:
        assert ask(connection) == MESSAGE


def test_delay_is_per_piece(proxy: Proxy) -> None:
    proxy.delay(0.5)
    with connect(proxy) as connection:
        with pytest.raises(TimeoutError):  # after 0.3 s
            ask(connection)
        connection.settimeout(10)
        assert connection.recv(1000) == MESSAGE


def test_server_that_is_down_resets_its_clients(proxy: Proxy) -> None:
    proxy.server = ("127.0.0.1", 1)
    # A reset, or a broken pipe where the reset comes before the message.
    with pytest.raises(ConnectionError), connect(proxy) as connection:
        ask(connection)


def test_url_of_the_proxy_keeps_user_path_and_query(proxy: Proxy) -> None:
    assert (
        proxy.replace("postgresql://me:a%40b@127.0.0.1:5432/shop?sslmode=disable")
        == f"postgresql://me:a%40b@127.0.0.1:{proxy.port}/shop?sslmode=disable"
    )
