"""Choose ports on loopback for the sandbox's servers."""

import json
import secrets
import socket
from pathlib import Path

from imageset.runtime import files

HOST = "127.0.0.1"
PORTS = ("postgres", "photos", "s3", "master", "volume", "filer", "admin")
GRPC_OFFSET = 10_000  # SeaweedFS takes a second port for each of its ports, higher by this much


def choose_ports(path: Path) -> dict[str, int]:
    """Return a port for each server: those of the last run if all are free, so that URLs stay valid, or new ones."""
    try:
        ports: dict[str, int] = json.loads(path.read_text(encoding="ascii"))
        if set(ports) == set(PORTS) and all(is_free(port) for port in list_ports_with_grpc(ports)):
            return ports
    except (FileNotFoundError, ValueError):
        pass
    ports = {}
    while len(ports) < len(PORTS):
        # Below the range of ports that the kernel gives to other programs, with room for the offset.
        port = 12_000 + secrets.randbelow(10_000)
        if port not in ports.values() and is_free(port) and is_free(port + GRPC_OFFSET):
            ports[PORTS[len(ports)]] = port
    files.write_text(path, json.dumps(ports))
    return ports


def list_ports_with_grpc(ports: dict[str, int]) -> list[int]:
    return [*ports.values(), *(port + GRPC_OFFSET for port in ports.values())]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
