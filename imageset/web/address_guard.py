"""Which addresses untrusted URLs may lead to, checked where each connection is made.

The owner of a name decides what it resolves to, and can change that between two look-ups; a redirect can lead
anywhere. So the guard checks the address of each socket just before it connects, and does not rely on the URL.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from imageset.errors import AddressRefused

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

# Addresses that ipaddress.is_global of some Python version accepts, from IANA's registries of special-purpose
# addresses: protocol assignments (Oracle's metadata service is 192.0.0.192), AS112, AMT, 6to4 relays. The last one is
# Azure's metadata service, which has a public address.
REFUSED_IPV4 = [
    ip_network(network)
    for network in (
        "192.0.0.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "168.63.129.16/32",
    )
]
# Protocol assignments (Teredo among them), 6to4, documentation, AS112, the former 6bone.
REFUSED_IPV6 = [
    ip_network(network)
    for network in ("2001::/23", "2002::/16", "2001:db8::/32", "2620:4f:8000::/48", "3ffe::/16", "3fff::/20")
]
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 addresses as networks with IPv6 only see them
ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214: the 32 bits before an IPv4 address in the interface identifier


def is_public(address: str) -> bool:
    """Return whether an address is a unicast address of the public internet. Addresses that tunnel to others are not.

    >>> is_public("93.184.216.34"), is_public("10.0.0.1"), is_public("::ffff:10.0.0.1"), is_public("64:ff9b::a00:1")
    (True, False, False, False)
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return is_public_ipv4(parsed)
    inner = parsed.ipv4_mapped or (IPv4Address(int(parsed) & 0xFFFF_FFFF) if parsed in NAT64 else None)
    return is_public_ipv4(inner) if inner else is_public_ipv6(parsed)


def is_public_ipv4(address: IPv4Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in network for network in REFUSED_IPV4)


def is_public_ipv6(address: IPv6Address) -> bool:
    is_isatap = int(address) >> 32 & 0xFFFF_FFFF in ISATAP
    return (
        address in GLOBAL_UNICAST
        and address.is_global
        and not is_isatap
        and not any(address in network for network in REFUSED_IPV6)
    )


class AddressGuard(ThreadedResolver):
    """A resolver and socket factory for aiohttp that connects to public addresses and allowed hosts only."""

    def __init__(self, allowed: frozenset[tuple[str, int]]) -> None:
        """Allow these hosts, by name or address as URLs have them, each with a port, besides the public internet."""
        super().__init__()
        self.allowed = allowed
        self.granted = set(allowed)  # addresses and ports; names in it match no socket

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name: the public ones, or all when the name is allowed. Raises AddressRefused."""
        results = await super().resolve(host, port, family)
        if (host.lower(), port) in self.allowed:
            self.granted.update((result["host"], port) for result in results)
            return results
        public = [result for result in results if is_public(result["host"])]
        if not public:
            raise AddressRefused
        return public

    def open_socket(self, address_info: AddressInfo) -> socket.socket:
        """Return a socket for an address, from a name or written in the URL itself. Raises AddressRefused."""
        family, kind, protocol, _, (address, port, *_) = address_info
        if not is_public(address) and (address, port) not in self.granted:
            raise AddressRefused
        return socket.socket(family, kind, protocol)
