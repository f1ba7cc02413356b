"""Which IP addresses are of the public Internet: one table of those that are not.

An address that a name stands for is looked at before anything connects to it. What is not public is of this
machine, of its network, of the cloud that it runs in (which hands out keys to whoever asks from inside), or of
nobody.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# IANA: "IPv4 Special-Purpose Address Registry", "IPv6 Special-Purpose Address Registry", "IPv6 Global Unicast
# Address Assignments"; RFC 6890. What clouds keep for themselves is in their own documentation.
NOT_PUBLIC: dict[str, str] = {
    "0.0.0.0/8": "this host on this network, RFC 791",
    "10.0.0.0/8": "private, RFC 1918",
    "100.64.0.0/10": "behind a provider's NAT, RFC 6598; metadata of Alibaba Cloud, 100.100.100.200",
    "127.0.0.0/8": "loopback, RFC 1122",
    "161.26.0.0/16": "services inside IBM Cloud, as its VPC documentation has them",
    "166.8.0.0/14": "endpoints inside IBM Cloud, as its VPC documentation has them",
    "168.63.129.16/32": "the wire server of Azure, Microsoft Learn: What is IP address 168.63.129.16?",
    "169.254.0.0/16": "link-local, RFC 3927; metadata of AWS, Google, Azure, Tencent, Huawei and others",
    "172.16.0.0/12": "private, RFC 1918",
    "192.0.0.0/24": "IETF protocol assignments, RFC 6890; metadata of Oracle Cloud, 192.0.0.192",
    "192.0.2.0/24": "documentation, RFC 5737",
    "192.31.196.0/24": "AS112, RFC 7535",
    "192.52.193.0/24": "AMT, RFC 7450",
    "192.88.99.0/24": "relays of 6to4, deprecated, RFC 7526",
    "192.168.0.0/16": "private, RFC 1918",
    "192.175.48.0/24": "AS112, RFC 7534",
    "198.18.0.0/15": "benchmarks, RFC 2544",
    "198.51.100.0/24": "documentation, RFC 5737",
    "199.36.153.4/30": "Google's interfaces from inside a VPC, restricted.googleapis.com",
    "199.36.153.8/30": "Google's interfaces from inside a VPC, private.googleapis.com",
    "203.0.113.0/24": "documentation, RFC 5737",
    "224.0.0.0/4": "multicast, RFC 5771",
    "240.0.0.0/4": "reserved, RFC 1112; with the broadcast address",
    # Of IPv6, only 2000::/3 is given out: "::/3" and the rest have loopback, link-local, ULA and multicast.
    "::/3": "IETF; loopback ::1, IPv4 inside of IPv6, local NAT64 64:ff9b:1::/48, discard 100::/64",
    "2001::/23": "IETF protocol assignments, RFC 2928; with Teredo, ORCHID, benchmarks",
    "2001:db8::/32": "documentation, RFC 3849",
    "2620:4f:8000::/48": "AS112, RFC 7534",
    "3fff::/20": "documentation, RFC 9637",
    "4000::/2": "IETF, not given out; with the segments of SRv6, 5f00::/16, RFC 9602",
    "8000::/1": "IETF; ULA fc00::/7 with metadata of AWS fd00:ec2::254, link-local fe80::/10, multicast ff00::/8",
}
_NETWORKS = tuple(ipaddress.ip_network(network) for network in NOT_PUBLIC)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: IPv4 as a network without IPv4 sees it
_ISATAP = (0x00005EFE, 0x02005EFE)  # RFC 5214, section 6.1


def is_public(address: str) -> bool:
    """True for an IP address of the public Internet: nothing of this machine, its network or its cloud.

    >>> is_public("8.8.8.8"), is_public("127.0.0.1"), is_public("168.63.129.16"), is_public("::ffff:10.0.0.1")
    (True, False, False, False)

    An IPv4 address that stands inside of one of IPv6 is what counts: it is where the connection ends.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        inner = _inner(ip)
        if inner is not None:
            return _is_public(inner)
        if (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP and not _is_public(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)):
            return False
    return _is_public(ip)


def _is_public(ip: Address) -> bool:
    # Python knows registries too, and perhaps newer ones.
    return ip.is_global and not (ip.is_multicast or ip.is_reserved) and not any(ip in network for network in _NETWORKS)


def _inner(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour
