"""Network addresses of clients."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

MAX_ADDRESS_CHARACTERS = 64


def network_of(address: str) -> str:
    """Return the network to limit an address by: an IPv6 customer owns a /64, hence 2^64 addresses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:MAX_ADDRESS_CHARACTERS] or "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return address
