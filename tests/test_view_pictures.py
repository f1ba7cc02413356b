"""Pictures of tools: which they are, what may be fetched, and how they arrive while the answer is written."""

from __future__ import annotations

import base64
import doctest
import gzip
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dashnb.view.pictures
from dashnb.protocol.state import RunState
from dashnb.view.addresses import NOT_PUBLIC
from dashnb.view.dimensions import pixels
from dashnb.view.pictures import Gallery, PictureNotFetched, fetch_picture, is_public, tool_pictures
from dashnb.view.toolcalls import picture_url
from view_support import call, created, folded, run

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
BODIES = {
    "png": PNG,
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(50),
    "gif": b"GIF89a" + bytes(50),
    "webp": b"RIFF\x32\x00\x00\x00WEBPVP8 " + bytes(40),
}

# For the server of these tests alone: of the name pictures.example, which nobody can own, until 2099.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBhjCCASygAwIBAgIBATAKBggqhkjOPQQDAjAbMRkwFwYDVQQDDBBwaWN0dXJl
cy5leGFtcGxlMCAXDTIwMDEwMTAwMDAwMFoYDzIwOTkxMjMxMjM1OTU5WjAbMRkw
FwYDVQQDDBBwaWN0dXJlcy5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD
QgAEwzFkDDwJpt6w87N18JS6eIls5CCwY5P6JZyuDRhJN/s8wAa0yyRSAHiBkVIC
0g+3e10QgWhoyEa8iAzV2gtROKNfMF0wHQYDVR0OBBYEFG/qBRGUmds7xBFiRWkf
46sKEwurMA8GA1UdEwEB/wQFMAMBAf8wGwYDVR0RBBQwEoIQcGljdHVyZXMuZXhh
bXBsZTAOBgNVHQ8BAf8EBAMCAoQwCgYIKoZIzj0EAwIDSAAwRQIhAOVVqWOjRPhK
IkLbRku9/NGo6kBKHFcZOsIQdzG7pY1NAiB8I8boj4V8fd+n3Okp/CQmlDk2bljX
cVSP/uk2HbtaUg==
-----END CERTIFICATE-----
"""
PRIVATE_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdz4LGOdDLYGys2HK
EGj7eHqsUOxdm1rJM+L9ssCm8MihRANCAATDMWQMPAmm3rDzs3XwlLp4iWzkILBj
k/olnK4NGEk3+zzABrTLJFIAeIGRUgLSD7d7XRCBaGjIRryIDNXaC1E4
-----END PRIVATE KEY-----
"""
HOST = "pictures.example"
TRUSTED = ssl.create_default_context(cadata=CERTIFICATE)


# --- the server ----------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's table says, and as it should not."""

    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers.items())))
        _, kind, *rest = self.path.split("/", 2)
        argument = rest[0] if rest else ""
        match kind:
            case "picture":
                self._answer(BODIES[argument])
            case "redirect":
                self._answer(b"", 302, {"Location": argument, "Set-Cookie": "who=1"})
            case "status":
                self._answer(PNG, int(argument))
            case "gzip":
                self._answer(gzip.compress(PNG), 200, {"Content-Encoding": "gzip"})
            case "endless":
                self._drip(bytes(20_000), every=0)
            case "slow":
                self._drip(b"x", every=0.02)
            case "slow-headers":
                self._drip(b"X-More: x\r\n", every=0.02, begun="HTTP/1.1 200 OK\r\n")
            case "short":
                self._answer(PNG, 200, {"Content-Length": "1000"})
            case "nonsense":
                self.wfile.write(b"this is not HTTP\r\n\r\n")
            case _:
                self._answer(self.server.bodies[kind], 200, {"Content-Type": "image/png"})

    def _answer(self, body: bytes, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, piece: bytes, *, every: float, begun: str = "HTTP/1.1 200 OK\r\n\r\n") -> None:
        self.wfile.write(begun.encode() + (PNG if begun.endswith("\r\n\r\n") else b""))
        while not self.server.stopped.wait(every):
            self.wfile.write(piece)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A web server of HTTPS on this machine, which remembers what it was asked."""

    daemon_threads = False  # closing waits for all of them

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.bodies = {
            "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "html": b"<!DOCTYPE html><p>Gone.</p>",
            "empty": b"",
            "riff": b"RIFF\x32\x00\x00\x00WAVEfmt " + bytes(40),
        }
        self.stopped = threading.Event()
        (folder / "pem").write_text(CERTIFICATE + PRIVATE_KEY, "utf-8")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "pem")
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, host: str = HOST) -> str:
        return f"https://{host}:{self.port}/{path}"

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is what is tested here."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("certificate")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def server(running: Server) -> Server:
    running.asked.clear()
    return running


class Names:
    """Looks up names in a table, and remembers which; the last addresses of a name stay."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


def here(address: str) -> bool:
    """Public, or the server of these tests."""
    return address == "127.0.0.1" or is_public(address)


def fetch(url: str, *, names: Names | None = None, **options: Any) -> str:
    options = {"allowed": here, "tls": TRUSTED, "seconds": 5, **options}
    return fetch_picture(url, resolve=names or Names(["127.0.0.1"]), **options)


def refusal(url: str, **options: Any) -> str:
    with pytest.raises(PictureNotFetched) as caught:
        fetch(url, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def redirects(server: Server, number: int) -> str:
    """The address of a picture behind so many redirects."""
    url = server.url("picture/png")
    for _ in range(number):
        url = server.url(f"redirect/{url}")
    return url


# --- which pictures ------------------------------------------------------------------------------


def drawn(*urls: str) -> str:
    return json.dumps({"results": [{"url": url} for url in urls]})


def test_the_pictures_of_a_run_are_those_of_its_tools_in_order_and_each_once() -> None:
    state = folded([
        created(),
        *call("text_to_image", "{}", drawn("https://a.example/1.png", "https://a.example/2.png"), step="step_1"),
        *call("wanx", "{}", drawn("https://a.example/2.png", "HTTPS://b.example/3.png"), step="step_2"),
        run("completed"),
    ])  # fmt: skip
    assert tool_pictures(state) == ("https://a.example/1.png", "https://a.example/2.png", "HTTPS://b.example/3.png")


def test_pictures_that_need_no_fetching_or_come_unprotected_are_not_among_them() -> None:
    state = folded([created(), *call("wanx", "{}", drawn("data:image/png;base64,iVBO", "http://a.example/1.png"))])
    assert tool_pictures(state) == ()


@pytest.mark.parametrize("output", [None, "rain", '{"data": []}', "{"])
def test_other_outputs_hold_no_pictures(output: str | None) -> None:
    assert tool_pictures(folded([created(), *call("get_weather", "{}", output)])) == ()
    assert tool_pictures(RunState()) == ()


# --- public addresses ----------------------------------------------------------------------------

PRIVATE = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.255", "169.254.169.254",
    "172.16.0.1", "192.168.1.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "::ffff:224.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_this_machine_of_its_network_or_of_its_cloud_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [
    "8.8.8.8", "47.88.0.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
])  # fmt: skip
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("text", ["", "example.org", "8.8.8", "0x7f.1", "127.1", "2130706433", "[::1]", "8.8.8.8/32"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not is_public(text)


@pytest.mark.parametrize("address", [
    # Clouds: Azure, AWS, Google, Alibaba, Oracle, Tencent, OpenStack, IBM.
    "168.63.129.16", "169.254.169.254", "169.254.170.2", "169.254.169.253", "100.100.100.200", "192.0.0.192",
    "169.254.0.23", "fd00:ec2::254", "fd20:ce::254", "fe80::a9fe:a9fe", "161.26.0.10", "166.9.14.3", "199.36.153.9",
    # The same, inside of other addresses.
    "::ffff:168.63.129.16", "64:ff9b::168.63.129.16", "2002:a83f:8110::1", "::168.63.129.16", "::ffff:0:168.63.129.16",
    "64:ff9b:1::168.63.129.16", "2001:0:a83f:8110::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:168.63.129.16",
    # Of nobody, or of everybody on the link.
    "0.0.0.0", "0.1.2.3", "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.9", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "100::1",
    "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1", "4000::1", "5f00::1", "fec0::1", "ff02::1",
    "2606:4700:4700::1111%eth0",
])  # fmt: skip
def test_what_a_cloud_keeps_for_itself_or_nobody_has_is_not_public(address: str) -> None:
    ipaddress.ip_address(address)
    assert not is_public(address)


@pytest.mark.parametrize("address", [
    "168.63.129.15", "168.63.129.17", "1.1.1.1", "199.36.153.12", "2001:200::1", "2a00:1450:4001::1",
    "2606:4700::5efe:8.8.8.8", "2002:808:808::1",
])  # fmt: skip
def test_neighbours_of_what_is_not_public_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("network", NOT_PUBLIC)
def test_the_table_of_what_is_not_public_holds_from_first_to_last(network: str) -> None:
    known = ipaddress.ip_network(network)
    inner = [ipaddress.IPv6Address(0xFFFF << 32), ipaddress.IPv6Address("64:ff9b::"), ipaddress.IPv6Address("2002::")]
    for ip in (known[0], known[-1], known[known.num_addresses // 2]):
        held = any(ip in ipaddress.ip_network(f"{one}/{16 if one == inner[2] else 96}") for one in inner)
        assert held or not is_public(str(ip))


@pytest.mark.parametrize("host", ["0x7f000001", "2130706433", "127.1", "0xa83f8110", "2822734096"])
def test_an_address_in_another_spelling_is_looked_at_as_what_it_stands_for(host: str) -> None:
    # The real lookup of the system, which takes such spellings; nothing is sent.
    with pytest.raises(PictureNotFetched, match=r"not on the public Internet|connection failed|no address"):
        fetch_picture(f"https://{host}/cat.png", seconds=5)


@given(st.ip_addresses())
def test_no_public_address_is_local_in_any_way(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(str(ip)):
        local = (ip.is_loopback, ip.is_link_local, ip.is_private, ip.is_multicast, ip.is_unspecified)
        assert (ip.is_global, any(local)) == (True, False)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_as_public_as_it_is_inside_of_ipv6(ip: ipaddress.IPv4Address) -> None:
    number = int(ip)
    for shell in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert is_public(str(ipaddress.IPv6Address(shell))) == is_public(str(ip))


@pytest.mark.parametrize("network", [
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "224.0.0.0/4",
    "fc00::/7", "fe80::/10", "ff00::/8",
])  # fmt: skip
def test_a_private_network_is_private_from_its_first_to_its_last_address(network: str) -> None:
    @given(st.ip_addresses(network=network))
    def holds(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
        assert not is_public(str(ip))

    holds()
    assert not is_public(str(ipaddress.ip_network(network)[0]))
    assert not is_public(str(ipaddress.ip_network(network)[-1]))


# --- one picture ---------------------------------------------------------------------------------


def sized(kind: str, width: int, height: int) -> bytes:
    """The beginning of a picture of this size."""
    big, small = (width.to_bytes(4, "big"), height.to_bytes(4, "big")), (width - 1, height - 1)
    little = width.to_bytes(2, "little") + height.to_bytes(2, "little") if width < 65536 else b""
    riff = b"RIFF\xff\0\0\0WEBP"
    return {
        "png": lambda: b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + b"".join(big) + bytes(20),
        "gif": lambda: b"GIF89a" + little + bytes(20),
        "jpeg": lambda: b"\xff\xd8\xff\xe0\0\x06JFIF\xff\xff\xc2\0\x11\x08" + big[1][2:] + big[0][2:] + bytes(20),
        "vp8": lambda: riff + b"VP8 " + bytes(10) + little + bytes(20),
        "vp8l": lambda: riff + b"VP8L" + bytes(5) + (small[0] | small[1] << 14).to_bytes(4, "little") + bytes(20),
        "vp8x": lambda: riff + b"VP8X" + bytes(8) + b"".join(n.to_bytes(3, "little") for n in small) + bytes(20),
    }[kind]()


@pytest.mark.parametrize("kind", ["png", "gif", "jpeg", "vp8", "vp8l", "vp8x"])
def test_a_small_file_that_is_a_huge_picture_is_left_out(server: Server, kind: str) -> None:
    assert pixels(sized(kind, 640, 480)) == 640 * 480
    for number, (width, height) in enumerate([(5000, 5000), (16000, 16000)]):
        server.bodies[f"{kind}{number}.png"] = sized(kind, width, height)
    assert fetch(server.url(f"{kind}0.png")).startswith("data:image/")
    assert refusal(server.url(f"{kind}1.png")) == "it has more than 50,000,000 pixels"


def test_a_huge_side_is_a_huge_picture_too(server: Server) -> None:
    server.bodies["long.png"] = sized("png", 2**31 - 1, 1)
    assert "pixels" in refusal(server.url("long.png"))


@given(st.binary(max_size=200), st.sampled_from(sorted(BODIES)))
def test_the_size_of_what_is_no_picture_is_read_without_a_failure(data: bytes, kind: str) -> None:
    assert pixels(data) >= 0
    assert pixels(BODIES[kind][:16] + data) >= 0
    assert pixels(b"\xff\xd8\xff" + data) >= 0


@pytest.mark.parametrize("kind", BODIES)
def test_a_picture_becomes_data_of_the_kind_that_its_bytes_say(server: Server, kind: str) -> None:
    picture = fetch(server.url(f"picture/{kind}"))
    assert picture == f"data:image/{kind};base64,{base64.b64encode(BODIES[kind]).decode()}"
    assert picture_url(picture) == picture


def test_the_query_with_its_signature_reaches_the_server_as_it_was(server: Server) -> None:
    server.bodies["cat.png?Expires=1&Signature=a%2Fb%2Bc%3D"] = PNG
    fetch(server.url("cat.png?Expires=1&Signature=a%2Fb%2Bc%3D#top"))
    assert [path for path, _ in server.asked] == ["/cat.png?Expires=1&Signature=a%2Fb%2Bc%3D"]


def test_a_request_says_nothing_of_who_asks(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    fetch(server.url("redirect/" + server.url("picture/png")))
    expected = {
        "Host": f"{HOST}:{server.port}",
        "User-Agent": "dashnb",
        "Accept": "image/png, image/jpeg, image/gif, image/webp",
        "Accept-Encoding": "identity",
    }
    assert [headers for _, headers in server.asked] == [expected, expected]


@pytest.mark.parametrize(("url", "reason"), [
    ("http://pictures.example/a.png", "only https is fetched, not http"),
    ("file:///etc/passwd", "only https is fetched, not file"),
    ("data:image/png;base64,iVBO", "only https is fetched, not data"),
    ("//pictures.example/a.png", "only https is fetched, not an address without a scheme"),
    ("", "only https is fetched, not an address without a scheme"),
    ("https:///a.png", "the address names no host"),
    ("https://me@pictures.example/a.png", "the address holds a name or a password"),
    ("https://:word@pictures.example/a.png", "the address holds a name or a password"),
    ("https://pictures.example:99999/a.png", "the address names a port that does not exist"),
    ("https://pictures.example:0/a.png", "the address names a port that does not exist"),
])  # fmt: skip
def test_an_address_that_is_not_to_be_asked_reaches_no_network(url: str, reason: str) -> None:
    names = Names(["127.0.0.1"])
    assert refusal(url, names=names) == reason
    assert names.asked == []


@pytest.mark.parametrize("url", [
    "https://[::1/", "https://a b/", "https://a\x00b/", "https://\ud83d/", "https://a\nb/", "https://" + "a" * 70_000,
])  # fmt: skip
def test_an_address_that_cannot_be_read_is_refused(url: str) -> None:
    refusal(url)


@pytest.mark.parametrize(("path", "reason"), [
    ("status/404", "the server answered with HTTP 404"),
    ("status/206", "the server answered with HTTP 206"),
    ("gzip", "it came compressed, though that was not asked for"),
    ("svg", "it is no PNG, JPEG, GIF or WebP"),
    ("html", "it is no PNG, JPEG, GIF or WebP"),
    ("riff", "it is no PNG, JPEG, GIF or WebP"),
    ("empty", "it is no PNG, JPEG, GIF or WebP"),
])  # fmt: skip
def test_an_answer_that_is_no_picture_is_refused(server: Server, path: str, reason: str) -> None:
    assert refusal(server.url(path)) == reason


@pytest.mark.parametrize("path", ["short", "nonsense"])
def test_an_answer_that_breaks_off_or_is_no_http_is_refused(server: Server, path: str) -> None:
    assert refusal(server.url(path)).startswith("the connection failed: ")


def test_a_body_is_given_up_at_the_most_bytes(server: Server) -> None:
    assert refusal(server.url("endless"), most_bytes=100_000) == "it is longer than 100,000 bytes"
    assert refusal(server.url("picture/png"), most_bytes=len(PNG) - 1) == "it is longer than 263 bytes"
    assert fetch(server.url("picture/png"), most_bytes=len(PNG))


@pytest.mark.parametrize("path", ["slow", "slow-headers"])
def test_an_answer_that_always_says_a_little_more_ends_at_the_deadline(server: Server, path: str) -> None:
    assert refusal(server.url(path), seconds=0.15) == "it did not arrive within 0.15 seconds"


def test_a_server_that_is_silent_ends_at_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://{HOST}:{silent.getsockname()[1]}/"
        assert refusal(url, seconds=0.1) == "it did not arrive within 0.1 seconds"


def test_a_lookup_that_does_not_end_is_left_behind() -> None:
    answered, looked_up = threading.Event(), threading.Event()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        answered.wait(5)
        looked_up.set()
        return []

    try:
        with pytest.raises(PictureNotFetched, match=r"^it did not arrive within 0.1 seconds$"):
            fetch_picture(f"https://{HOST}/", resolve=resolve, seconds=0.1)
        assert not looked_up.is_set()
    finally:
        answered.set()
        assert looked_up.wait(5)


def test_the_time_is_for_everything_together(server: Server) -> None:
    taken = 3  # seconds that each request takes
    url = redirects(server, 3)
    assert refusal(url, clock=lambda: taken * len(server.asked), seconds=8) == "it did not arrive within 8 seconds"
    assert len(server.asked) == 3, "the fourth request has no time left"


def test_a_port_on_which_nobody_listens_is_a_failed_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert refusal(f"https://{HOST}:{port}/").startswith("the connection failed: ")


# --- redirects -----------------------------------------------------------------------------------


def test_three_redirects_are_followed_and_no_fourth(server: Server) -> None:
    assert fetch(redirects(server, 3)).startswith("data:image/png")
    assert refusal(redirects(server, 4)) == "it is redirected more than 3 times"


def test_a_redirect_may_be_relative(server: Server) -> None:
    assert fetch(server.url("redirect//picture/gif")).startswith("data:image/gif")


@pytest.mark.parametrize(("target", "reason"), [
    ("http://pictures.example/a.png", "only https is fetched, not http"),
    ("file:///etc/passwd", "only https is fetched, not file"),
    ("https://a:b@pictures.example/", "the address holds a name or a password"),
    ("https://10.0.0.1/latest/meta-data", "10.0.0.1 is not on the public Internet"),
])  # fmt: skip
def test_a_redirect_leads_nowhere_where_one_may_not_ask(server: Server, target: str, reason: str) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    assert refusal(server.url(f"redirect/{target}"), names=names) == reason
    assert len(server.asked) == 1


def test_a_redirect_to_nowhere_ends(server: Server) -> None:
    assert refusal(server.url("redirect/")) == "it is redirected more than 3 times"


# --- names and certificates ----------------------------------------------------------------------


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::1"], ["::ffff:127.0.0.1"]])
def test_a_name_is_refused_if_one_of_its_addresses_is_not_public(addresses: list[str]) -> None:
    assert refusal("https://inside.example/", names=Names(addresses)) == "inside.example is not on the public Internet"


def test_this_machine_is_refused_however_it_is_called(server: Server) -> None:
    for host in ("localhost", "127.0.0.1", "127.1", "0x7f.1", "2130706433", "[::1]"):
        with pytest.raises(PictureNotFetched):
            fetch_picture(server.url("picture/png", host), tls=TRUSTED, seconds=5)
    assert server.asked == []


def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_looked_at(server: Server) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    looked_at: list[str] = []

    def allowed(address: str) -> bool:
        looked_at.append(address)
        return here(address)

    assert fetch(server.url("picture/png"), names=names, allowed=allowed)
    assert names.asked == [HOST]
    assert looked_at == ["127.0.0.1"]


def test_of_several_addresses_one_that_answers_is_enough(server: Server) -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])  # the server listens on the second only
    assert fetch(server.url("picture/png"), names=names, allowed=lambda address: True)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_nobody_knows_is_a_failed_connection(error: Exception) -> None:
    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise error

    with pytest.raises(PictureNotFetched, match=r"^the connection failed: "):
        fetch_picture(f"https://{HOST}/", resolve=resolve, tls=TRUSTED)


def test_a_name_without_addresses_is_refused() -> None:
    assert refusal(f"https://{HOST}/", names=Names([])) == "pictures.example has no address"


def test_the_certificate_must_be_of_the_name_that_was_asked(server: Server) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(server.url("picture/png", "other.example"))
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(server.url("picture/png", "127.0.0.1"))


def test_a_certificate_that_nobody_signed_is_not_trusted(server: Server) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in refusal(server.url("picture/png"), tls=None)
    assert server.asked == []


# --- in the background ---------------------------------------------------------------------------


def data(url: str) -> str:
    return f"data:image/png;base64,{url}"


class Held:
    """Pictures that arrive when they are let go; tells how many are being fetched."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.asked: list[str] = []

    def __call__(self, url: str) -> str:
        self.asked.append(url)
        self.begun.release()
        assert self.open.wait(5)
        return data(url)


@contextmanager
def held_gallery(**options: Any) -> Iterator[tuple[Gallery, Held]]:
    held = Held()
    with Gallery(fetch=held, **options) as gallery:
        try:
            yield gallery, held
        finally:
            held.open.set()
            join_workers()


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "dashnb-picture"]


def join_workers() -> None:
    for thread in workers():
        thread.join(5)


def test_pictures_are_fetched_while_something_else_is_done() -> None:
    with held_gallery() as (gallery, held):
        gallery.want("a")
        gallery.want("b")
        assert held.begun.acquire(timeout=5)
        assert held.begun.acquire(timeout=5)
        assert gallery.pending == 2
        assert gallery.collect(timeout=0) == {}
        held.open.set()
        assert gallery.collect(timeout=5) == {"a": data("a"), "b": data("b")}
        assert gallery.pending == 0


def test_a_picture_is_fetched_once() -> None:
    asked: list[str] = []

    def fetch(url: str) -> str:
        asked.append(url)
        return data(url)

    with Gallery(fetch=fetch) as gallery:
        for _ in range(3):
            gallery.want("a")
            assert gallery.collect(timeout=5) == {"a": data("a")}
    assert asked == ["a"]


def test_what_arrived_is_there_though_the_rest_is_not() -> None:
    slow = Held()
    with Gallery(fetch=lambda url: slow(url) if url == "slow" else data(url), workers=2) as gallery:
        gallery.want("slow")
        gallery.want("quick")
        with suppress(TimeoutError):
            wait_for(lambda: gallery.pending == 1)
        assert gallery.collect(timeout=0.01) == {"quick": data("quick")}
        slow.open.set()
        assert set(gallery.collect(timeout=5)) == {"quick", "slow"}
        join_workers()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError


@pytest.mark.parametrize("error", [PictureNotFetched("gone"), RuntimeError("a defect"), RecursionError()])
def test_a_picture_that_fails_is_left_out(error: Exception) -> None:
    def fetch(url: str) -> str:
        if url == "bad":
            raise error
        return data(url)

    with Gallery(fetch=fetch, workers=1) as gallery:
        for url in ("bad", "good"):
            gallery.want(url)
        assert gallery.collect(timeout=5) == {"good": data("good")}


def test_no_thread_is_there_before_the_first_picture_nor_after_the_last() -> None:
    with Gallery(fetch=data, workers=1) as gallery:
        assert workers() == []
        assert gallery.collect(timeout=5) == {}
        gallery.want("a")
        gallery.collect(timeout=5)
        join_workers()
        assert workers() == []
        gallery.want("b")
        assert set(gallery.collect(timeout=5)) == {"a", "b"}
        join_workers()


def test_the_threads_are_few_and_keep_no_process_from_ending() -> None:
    with held_gallery(workers=2) as (gallery, held):
        for number in range(6):
            gallery.want(str(number))
        assert len(workers()) == 2
        assert all(thread.daemon for thread in workers())
        held.open.set()
        assert len(gallery.collect(timeout=5)) == 6


def test_a_run_that_draws_without_end_is_given_so_many_pictures() -> None:
    with Gallery(fetch=data, most=3) as gallery:
        for number in range(10):
            gallery.want(str(number))
        assert set(gallery.collect(timeout=5)) == {"0", "1", "2"}
        join_workers()


def test_after_closing_nothing_more_is_fetched_and_nobody_waits() -> None:
    with held_gallery(workers=1) as (gallery, held):
        gallery.want("a")
        gallery.want("b")
        assert held.begun.acquire(timeout=5)
        gallery.close()
        gallery.want("c")
        assert gallery.pending == 0
        assert gallery.collect(timeout=5) == {}
        held.open.set()
        join_workers()
        assert held.asked == ["a"]
        assert gallery.collect(timeout=0) == {}
        assert gallery.pending == 0


def test_closing_wakes_up_who_collects() -> None:
    with held_gallery() as (gallery, held):
        gallery.want("a")
        assert held.begun.acquire(timeout=5)
        closer = threading.Timer(0.05, gallery.close)
        begun = time.monotonic()
        closer.start()
        assert gallery.collect(timeout=5) == {}
        assert time.monotonic() - begun < 4
        closer.join()


def test_where_no_thread_is_to_be_had_the_pictures_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Gallery(fetch=data) as gallery:
        monkeypatch.setattr(threading.Thread, "start", start)
        gallery.want("a")
        assert gallery.pending == 0
        assert gallery.collect(timeout=5) == {}


def test_pictures_of_a_real_server_arrive_together(server: Server) -> None:
    with Gallery(fetch=fetch) as gallery:
        for kind in [*BODIES, "tiff"]:
            gallery.want(server.url(f"picture/{kind}"))
        found = gallery.collect(timeout=5)
        join_workers()
    assert {url.rsplit("/", 1)[1]: picture.split(";")[0] for url, picture in found.items()} == {
        kind: f"data:image/{kind}" for kind in BODIES
    }


# --- the module ----------------------------------------------------------------------------------


def test_the_examples_run() -> None:
    failed, tried = doctest.testmod(dashnb.view.pictures)
    assert tried
    assert not failed


def test_the_module_is_imported_without_the_http_library() -> None:
    code = "import sys, dashnb.view.pictures; sys.exit('httpcore' in sys.modules or 'httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
