"""Values between a program and its worker processes: by pickle, on a pipe, large arrays in place.

multiprocessing's own connection copies what it receives piece by piece: of images that took a third of the time that
the kernel spent for stage build.
"""

import os
import pickle
from multiprocessing.connection import Connection
from typing import Any

LARGE_BYTES = 1 << 16  # from here on an array travels by itself, without the copies that pickle makes
PROTOCOL = 5  # the first that lets buffers travel by themselves (PEP 574)

Message = list[memoryview]  # a pickle, and the buffers that it leaves out


def dump(value: object) -> Message:
    """Return a value as a message. Raises what pickle raises."""
    buffers: list[memoryview] = []

    def stays(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        is_small = raw.nbytes < LARGE_BYTES
        if not is_small:
            buffers.append(raw)
        return is_small

    head = pickle.dumps(value, PROTOCOL, buffer_callback=stays)
    return [memoryview(head), *buffers]


def load(message: list[bytearray]) -> Any:
    """Return the value of a message. Its large arrays share the message's memory, and can be written."""
    head, *buffers = message
    return pickle.loads(head, buffers=buffers)


def send(connection: "Connection[Any, Any]", message: Message) -> None:
    """Send a message. Raises OSError when the other end is closed."""
    connection.send_bytes(pickle.dumps([part.nbytes for part in message], PROTOCOL))
    for part in message:
        while part:
            part = part[os.write(connection.fileno(), part) :]


def receive(connection: "Connection[Any, Any]") -> list[bytearray]:
    """Wait for a message and return it. Raises EOFError or OSError when the other end is closed."""
    message = [bytearray(size) for size in pickle.loads(connection.recv_bytes())]
    for part in message:
        rest = memoryview(part)
        while rest:
            received = os.readv(connection.fileno(), [rest])
            if not received:
                raise EOFError
            rest = rest[received:]
    return message
