"""Which addresses strangers' urls may lead to, checked where the connection is made.

A url says a name, a name resolves to what its owner likes and to something else a moment later, and a redirect leads on
from there. So the guard looks at the address of each socket, just before it connects, and at nothing else.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from imageset.errors import AddressRefused

AddressInfo = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

# What ipaddress.is_global of one Python or another lets through, from IANA's registries of special-purpose addresses:
# protocol assignments (Oracle's metadata is 192.0.0.192), AS112, AMT, 6to4 relays; and Azure's public metadata.
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
NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 internet, seen from networks without it
ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214: the upper half of the interface's identifier, before an IPv4 address


def is_public(address: str) -> bool:
    """Tell whether an address is unicast on the public internet; tunnels to others are not.

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


class Guard(ThreadedResolver):
    """Resolver and socket factory of an aiohttp connector that connects to public addresses and allowed hosts only."""

    def __init__(self, allowed: frozenset[tuple[str, int]]) -> None:
        """allowed: hosts, by name or address as urls write them, each with a port."""
        super().__init__()
        self.allowed = allowed
        self.granted = set(allowed)  # addresses and ports; a name among them is no address and grants nothing

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return where a name leads to, of that what is public unless the name is allowed. Raises AddressRefused."""
        results = await super().resolve(host, port, family)
        if (host.lower(), port) in self.allowed:
            self.granted.update((result["host"], port) for result in results)
            return results
        public = [result for result in results if is_public(result["host"])]
        if not public:
            raise AddressRefused
        return public

    def open_socket(self, address_info: AddressInfo) -> socket.socket:
        """Return a socket for this address, be it a name's or one that the url itself has. Raises AddressRefused."""
        family, kind, protocol, _, (address, port, *_) = address_info
        if not is_public(address) and (address, port) not in self.granted:
            raise AddressRefused
        return socket.socket(family, kind, protocol)
