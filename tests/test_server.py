"""The embedded API on a port: real sockets, on this machine alone."""

from __future__ import annotations

import http.client
import json
import logging
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import dashnb
from dashnb.errors import ConfigurationError
from dashnb.local.guard import Limits
from dashnb.local.models.engine import Engine, TextPiece
from dashnb.local.models.guide import GuideEngine
from dashnb.local.server import Server, check_host
from dashnb.local.token import keep_token
from scripted import BEGUN, ENDED, Api, Event, Gate, Script, cut, names, of, parse, path_of, written

KEY = "sk-canary"


@contextmanager
def on_a_port(engine: Engine, *, database: str = ":memory:", **more: Any) -> Iterator[tuple[Server, Api]]:
    """A server with this engine, and a client that has its key."""
    with (
        Server(database, engine, plugins={}, api_key=KEY, **more) as server,
        httpx.Client(base_url=server.base_url, headers={"authorization": f"Bearer {KEY}"}) as client,
    ):
        yield server, Api(server._service, client)


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    """A bare connection."""
    url = httpx.URL(server.base_url)
    with socket.create_connection((url.host, url.port or 0), timeout=5) as connection:
        yield connection


def exchange(server: Server, request: bytes) -> tuple[int, dict[str, str], dict[str, str]]:
    """Status, headers and JSON of the answer to bytes that a proper client would not send."""
    with connected(server) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, json.loads(response.read())


def refused(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal in the documented shape."""
    answer = response.json()
    assert sorted(answer) == ["code", "message", "request_id"]
    assert answer["request_id"]
    assert KEY not in response.text
    return response.status_code, answer["code"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """A server that nothing is changed on."""
    with on_a_port(Script()) as (_, api):
        yield api


# --- who comes in --------------------------------------------------------------------------------


def test_a_session_works_over_the_port_as_it_does_in_process() -> None:
    with (
        dashnb.serve(engine="guide", database=":memory:") as server,
        dashnb.connect(server.base_url, api_key=server.api_key) as client,
        dashnb.Session(client=client) as session,
    ):
        assert "997002" in session.ask("What is 999 × 998?").text
        assert session.runs[-1].status == "completed"


def test_only_who_has_the_key_comes_in() -> None:
    with on_a_port(Script()) as (server, api):
        for headers in ({}, {"authorization": "Bearer sk-other"}, {"authorization": f"Basic {KEY}"}):
            answer = httpx.get(f"{server.base_url}/assistants", headers=headers)
            assert refused(answer) == (401, "InvalidApiKey")
        assert api.get("/assistants")["data"] == []


def test_a_key_that_nobody_named_is_random() -> None:
    with Server(":memory:", Script()) as one, Server(":memory:", Script()) as other:
        assert one.api_key != other.api_key
        assert one.api_key.startswith("sk-local-")
        assert len(one.api_key) > 40
        assert httpx.get(f"{one.base_url}/assistants", headers={"authorization": f"Bearer {one.api_key}"}).is_success


@pytest.mark.parametrize("key", ["", "two words", "schlüssel", "line\nbreak"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^The api_key (is empty|has characters)") as caught:
        Server(":memory:", Script(), api_key=key)
    assert not key or key not in str(caught.value)


def test_the_key_is_in_no_repr_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with on_a_port(Script(), verbose=True) as (server, api):
        api.get("/assistants")
        api.client.get("/nowhere")
        assert repr(server) == f"Server('{server.base_url}', engine='script')"
        assert KEY not in repr(server._service) + repr(vars(server._uvicorn))
    assert "GET /api/v1/assistants" in caplog.text
    assert KEY not in caplog.text


def test_requests_are_not_logged_unless_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with on_a_port(Script()) as (_, api):
        api.get("/assistants")
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:9000", "[::1]:8765", "localhost."])
def test_a_host_header_may_name_this_machine_at_any_port(api: Api, host: str) -> None:
    assert api.client.get("/assistants", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "192.0.2.7", "localhost.evil", "", "["])
def test_a_host_header_of_another_place_is_refused(api: Api, host: str) -> None:
    assert refused(api.client.get("/assistants", headers={"host": host})) == (403, "AccessDenied")


def test_a_server_on_all_addresses_is_reached_by_any_address_and_no_foreign_name() -> None:
    with on_a_port(Script(), host="0.0.0.0") as (server, api):
        assert server.base_url.startswith("http://127.0.0.1:")
        assert api.client.get("/assistants", headers={"host": "192.0.2.7:8765"}).status_code == 200
        assert api.client.get("/assistants", headers={"host": socket.gethostname()}).status_code == 200
        assert refused(api.client.get("/assistants", headers={"host": "evil.example"})) == (403, "AccessDenied")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_host_that_others_reach_takes_a_key_that_a_person_named(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--token-file"):
        dashnb.serve(host=host, database=":memory:")
    assert check_host(host, has_key=True)[1].is_unspecified


def test_pages_of_other_origins_may_not_read_answers() -> None:
    with on_a_port(Script()) as (_, api):
        headers = {"origin": "https://evil.example", "access-control-request-method": "GET"}
        for answer in (api.client.options("/assistants", headers=headers), api.client.get("/assistants")):
            assert not [name for name in answer.headers if name.startswith("access-control")]
        assert refused(api.client.options("/assistants", headers=headers))[0] == 405


# --- how much ------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused(chunked: bool) -> None:
    with on_a_port(Script(), limits=Limits(body_bytes=1000)) as (_, api):
        fits = b"{}" + b" " * 900
        for body, expected in ((fits, 200), (fits + b" " * 1000, 413)):
            content = iter([body[:500], body[500:]]) if chunked else body
            answer = api.client.post("/threads", content=content)
            assert answer.status_code == expected
        assert refused(answer) == (413, "RequestTooLarge")
        assert api.get("/assistants")["data"] == []


def test_a_body_is_read_only_from_who_has_the_key() -> None:
    with on_a_port(Script()) as (server, _):
        head = b"POST /api/v1/threads HTTP/1.1\r\nhost: localhost\r\ncontent-length: 999999999\r\n\r\n"
        assert exchange(server, head)[0] == 401


def test_a_body_that_does_not_arrive_is_given_up() -> None:
    with on_a_port(Script(), limits=Limits(body_seconds=0.05)) as (server, _):
        head = f"POST /api/v1/threads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
        status, headers, answer = exchange(server, f'{head}content-length: 100\r\n\r\n{{"metadata"'.encode())
        assert (status, answer["code"], headers["connection"]) == (408, "RequestTimeOut", "close")
        assert sorted(answer) == ["code", "message", "request_id"]


def test_a_packed_body_is_refused_before_anything_is_unpacked() -> None:
    with on_a_port(Script()) as (_, api):
        for encoding in ("gzip", "br", "gzip, gzip"):
            packed = api.client.post("/threads", content=b"x", headers={"content-encoding": encoding})
            assert refused(packed) == (415, "InvalidParameter")
        assert api.client.post("/threads", json={}, headers={"content-encoding": "identity"}).is_success


def test_headers_beyond_the_limit_are_refused() -> None:
    with on_a_port(Script(), limits=Limits(header_bytes=2000)) as (server, api):
        assert refused(api.client.get("/assistants", headers={"x-long": "x" * 3000})) == (431, "InvalidParameter")
        # Without an end, so that it is the parser that gives up.
        status, _, answer = exchange(server, b"GET / HTTP/1.1\r\nx-long: " + b"x" * 3000)
        assert (status, sorted(answer)) == (431, ["code", "message", "request_id"])


def test_what_is_no_http_is_refused_in_the_documented_shape() -> None:
    with on_a_port(Script()) as (server, _):
        status, headers, answer = exchange(server, b"How do you do?\r\n\r\n")
    assert (status, headers["content-type"]) == (400, "application/json")
    assert sorted(answer) == ["code", "message", "request_id"]


def test_a_connection_that_asks_for_nothing_is_closed() -> None:
    with on_a_port(Script(), limits=Limits(header_seconds=0.05)) as (server, _), connected(server) as connection:
        connection.sendall(b"GET /api/v1/assistants HTTP/1.1\r\nhost: ")
        assert connection.recv(100) == b""


HEAD = f"POST /api/v1/threads HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n".encode()
WHOLE = HEAD + b"content-length: 2\r\n\r\n{}"


@pytest.mark.parametrize("before", [0, 1, 3], ids=["first", "after an answer", "after three"])
@pytest.mark.parametrize(
    "half",
    [
        b"G",
        HEAD[:30],
        HEAD,
        HEAD + b'content-length: 9\r\n\r\n{"a"',
        HEAD + b"transfer-encoding: chunked\r\n\r\n4",
    ],
    ids=["a letter", "a line", "headers", "a body", "a chunk"],
)
def test_half_a_request_and_then_nothing_is_closed_at_any_place_of_a_connection(half: bytes, before: int) -> None:
    limits = Limits(header_seconds=0.2, body_seconds=0.2)
    with on_a_port(Script(), limits=limits) as (server, _), connected(server) as connection:
        for _ in range(before):
            connection.sendall(WHOLE)
            assert answer_of(connection) == 200
        connection.sendall(half)
        rest = bytes_until_closed(connection)
    assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("length", [b"content-length: 9\r\n\r\n{", b"transfer-encoding: chunked\r\n\r\n4\r\n"])
def test_the_rest_of_a_body_that_the_answer_did_not_need_is_not_waited_for(length: bytes) -> None:
    head = b"POST /api/v1/nowhere HTTP/1.1\r\nhost: localhost\r\n"
    with on_a_port(Script(), limits=Limits(header_seconds=0.2)) as (server, _), connected(server) as connection:
        connection.sendall(head + length)
        assert answer_of(connection) == 404
        assert bytes_until_closed(connection) == b""


def test_a_head_that_comes_in_drops_has_one_time_in_all() -> None:
    with on_a_port(Script(), limits=Limits(header_seconds=0.3)) as (server, _), connected(server) as connection:
        connection.sendall(WHOLE)
        assert answer_of(connection) == 200
        with pytest.raises(OSError, match=r"[Rr]eset|[Bb]roken|[Aa]bort"):
            drip(connection, HEAD * 10)


def test_a_connection_between_two_requests_is_kept_and_a_long_answer_is_not_cut() -> None:
    gate = Gate()
    with on_a_port(Script([gate, TextPiece("Hi.")]), limits=Limits(header_seconds=0.1)) as (server, api):
        with connected(server) as connection:
            for _ in range(2):
                connection.sendall(WHOLE)
                assert answer_of(connection) == 200
                time.sleep(0.3)
        with api.stream(f"/threads/{api.thread('Hello')}/runs", assistant_id=api.assistant()) as events:
            assert gate.reached.wait(5)
            time.sleep(0.3)
            gate.open()
            assert names(list(events))[-2:] == ENDED


def drip(connection: socket.socket, content: bytes) -> None:
    for letter in content:
        connection.sendall(bytes([letter]))
        time.sleep(0.02)


def answer_of(connection: socket.socket) -> int:
    """The status of the next answer, which is read whole."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def bytes_until_closed(connection: socket.socket) -> bytes:
    found = b""
    while part := connection.recv(4096):
        found += part
    return found


def test_how_many_requests_are_answered_at_once_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(**arguments: Any) -> int:
        with dashnb.serve(database=":memory:", **arguments) as server:
            return server._uvicorn._guard._limits.requests

    assert most() == 500
    assert most(requests=7) == 7
    monkeypatch.setenv("DASHNB_REQUESTS", "900")
    assert most() == 900
    assert most(requests=7) == 7
    assert most(limits=Limits(requests=3)) == 3
    for wrong in ("0", "-1", "many", "1.5", "nan"):
        monkeypatch.setenv("DASHNB_REQUESTS", wrong)
        with pytest.raises(ConfigurationError, match=r"requests is .*DASHNB_REQUESTS"):
            dashnb.serve(database=":memory:")


def test_more_requests_than_the_limit_are_asked_to_come_again() -> None:
    gate = Gate()
    with on_a_port(Script([gate, TextPiece("Hi.")]), limits=Limits(requests=1)) as (_, api):
        assistant, thread = api.assistant(), api.thread("Hello")
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as events:
            assert next(events)[0] == BEGUN[0]
            answer = api.client.get("/assistants")
            assert refused(answer) == (503, "Throttling")
            assert answer.headers["retry-after"] == "1"
            assert "--requests" in answer.json()["message"]
            assert "DASHNB_REQUESTS" in answer.json()["message"]
            gate.open()
            assert names(list(events)) == [*BEGUN[1:], *written(1), *ENDED]
        while api.client.get("/assistants").status_code != 200:
            pass  # its last bytes were here before the server was done with it


# --- streams -------------------------------------------------------------------------------------


def test_a_stream_arrives_piece_by_piece() -> None:
    gates = [Gate(), Gate()]
    with on_a_port(Script([TextPiece("One "), gates[0], TextPiece("two "), gates[1]])) as (_, api):
        body = {"assistant_id": api.assistant(), "stream": True}
        with api.client.stream("POST", f"/threads/{api.thread('Hello')}/runs", json=body) as response:
            assert response.headers["transfer-encoding"] == "chunked"
            assert response.headers["content-type"].startswith("text/event-stream")
            events = parse(response.iter_raw())
            for gate, text in zip(gates, ("One ", "two "), strict=True):
                delta = next(data for name, data in events if name == "thread.message.delta")
                assert json.dumps(text) in json.dumps(delta)
                gate.open()
            assert names(list(events))[-2:] == ENDED


def test_a_reader_that_leaves_stops_nothing() -> None:
    gate = Gate()
    with on_a_port(Script([gate, TextPiece("Hi.")])) as (_, api):
        assistant, thread = api.assistant(), api.thread("Hello")
        with api.stream(f"/threads/{thread}/runs", assistant_id=assistant) as events:
            path = path_of([next(events)])
        gate.open()
        assert api.wait(path, "completed", "failed")["status"] == "completed"


def test_two_servers_share_one_database_file(tmp_path: Path) -> None:
    database, gate = str(tmp_path / "shared.db"), Gate()
    with (
        on_a_port(Script([gate, TextPiece("Hi.")]), database=database) as (_, one),
        on_a_port(Script([TextPiece("Other.")]), database=database) as (_, other),
    ):
        path = one.begin()
        with other.client.stream("GET", f"{path}/stream") as response:
            events = parse(response.iter_bytes())
            assert next(events)[0] == BEGUN[0]
            gate.open()
            assert names(list(events))[-2:] == ENDED
        assert names(other.run())[-2:] == ENDED
        assert len(one.get("/assistants")["data"]) == 2


# --- the end -------------------------------------------------------------------------------------


@contextmanager
def ending(server: Server) -> Iterator[None]:
    """While the server is being closed; in the end it is."""
    with ThreadPoolExecutor(1) as pool:
        closed = pool.submit(server.close)
        yield
        closed.result(5)


def test_a_run_that_goes_on_is_ended_and_its_reader_gets_the_last_events(tmp_path: Path) -> None:
    database = str(tmp_path / "a.db")
    limits = Limits(grace_seconds=0.05)
    with on_a_port(Script([TextPiece("One "), Gate()]), database=database, limits=limits) as (server, api):
        thread = api.thread("Hello")
        with api.stream(f"/threads/{thread}/runs", assistant_id=api.assistant()) as events:
            seen: list[Event] = []
            while not of(seen, "thread.message.delta"):
                seen.append(next(events))
            with ending(server):
                seen += events
    assert names(seen) == [*BEGUN, *cut(1, "failed")]
    assert of(seen, "thread.run.failed")[0]["last_error"]["code"] == "server_stopped"
    with on_a_port(Script(), database=database) as (_, again):
        assert again.get(path_of(seen))["status"] == "failed"


def test_a_run_without_a_reader_is_ended_at_once(tmp_path: Path) -> None:
    database = str(tmp_path / "a.db")
    with on_a_port(Script([Gate()]), database=database, limits=Limits(grace_seconds=60)) as (_, api):
        path = api.begin()
    with on_a_port(Script(), database=database) as (_, again):
        assert again.get(path)["last_error"]["code"] == "server_stopped"


def test_a_stream_that_ends_within_the_grace_ends_well() -> None:
    gate = Gate()
    with (
        on_a_port(Script([gate, TextPiece("Hi.")]), limits=Limits(grace_seconds=60)) as (server, api),
        api.stream(f"/threads/{api.thread('Hello')}/runs", assistant_id=api.assistant()) as events,
    ):
        assert gate.reached.wait(5)
        with ending(server):
            gate.open()
            assert names(list(events)) == [*BEGUN, *written(1), *ENDED]


@pytest.mark.skipif(os.name != "posix", reason="signals are sent otherwise")
def test_a_person_who_interrupts_the_grace_does_not_wait_for_it() -> None:
    with (
        on_a_port(Script([TextPiece("One "), Gate()]), limits=Limits(grace_seconds=60)) as (server, api),
        api.stream(f"/threads/{api.thread('Hello')}/runs", assistant_id=api.assistant()) as events,
        ThreadPoolExecutor(1) as pool,
    ):
        main = threading.main_thread().ident
        assert main is not None

        def interrupt() -> None:
            while not server._uvicorn.should_exit:
                time.sleep(0.001)
            signal.pthread_kill(main, signal.SIGINT)

        pool.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            server.close()
        assert names(list(events)) == [*BEGUN, *cut(1, "failed")]


def test_a_reader_that_reads_nothing_does_not_keep_the_server_from_ending(caplog: pytest.LogCaptureFixture) -> None:
    pieces = [TextPiece("x" * 100_000)] * 200
    limits = Limits(grace_seconds=0.05)
    with on_a_port(Script(pieces), limits=limits) as (server, api), connected(server) as connection:
        body = json.dumps({"assistant_id": api.assistant(), "stream": True})
        head = f"POST /api/v1/threads/{api.thread('Hello')}/runs HTTP/1.1\r\nhost: localhost\r\n"
        head += f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body.encode())
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        server.close()
    assert caplog.records == []


def test_a_reader_of_a_run_that_another_server_goes_on_with_is_cut_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database, gate = str(tmp_path / "shared.db"), Gate()
    with on_a_port(Script([gate]), database=database) as (_, one):
        path = one.begin()
        with (
            on_a_port(Script(), database=database, limits=Limits(grace_seconds=0.05)) as (server, other),
            other.client.stream("GET", f"{path}/stream") as response,
        ):
            events = parse(response.iter_bytes())
            assert next(events)[0] == BEGUN[0]
            with ending(server), pytest.raises(httpx.TransportError):
                list(events)
        gate.open()
        assert one.wait(path, "completed", "failed")["status"] == "completed"
    assert caplog.records == []


def test_a_closed_server_can_be_closed_again_and_is_not_reached() -> None:
    with on_a_port(Script()) as (server, api):
        server.close()
        server.close()
        server.wait()
        with pytest.raises(httpx.ConnectError):
            api.client.get("/assistants")


def test_a_server_can_end_without_being_waited_for() -> None:
    with on_a_port(Script()) as (server, _):
        server.stop()
        server.wait()


def test_a_forgotten_server_ends() -> None:
    server = Server(":memory:", Script())
    thread = server._thread
    del server
    thread.join(5)
    assert not thread.is_alive()


# --- the port ------------------------------------------------------------------------------------


def test_a_port_that_is_taken_is_said_in_words() -> None:
    with on_a_port(Script()) as (server, _):
        port = httpx.URL(server.base_url).port or 0
        with pytest.raises(ConfigurationError, match=rf"port {port}: address already in use\.\nName another"):
            Server(":memory:", Script(), port=port)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"port": 70000}, "no port 70000"),
        ({"port": -1}, "no port -1"),
        ({"host": "nowhere.invalid"}, "no host"),
        ({"host": "192.0.2.7", "api_key": KEY}, "Cannot listen on 192.0.2.7"),
    ],
)
def test_a_place_where_nothing_can_listen_is_said_in_words(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Server(":memory:", Script(), **arguments)


def test_a_database_that_cannot_be_used_leaves_the_port_free(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("no database")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(dashnb.DashnbError, match="not a database"):
        Server(str(tmp_path / "a.db"), Script(), port=port)
    with on_a_port(GuideEngine(), port=port) as (server, _):
        assert server.base_url == f"http://127.0.0.1:{port}/api/v1"


# --- the token's file ----------------------------------------------------------------------------


def test_a_token_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "serve.token"
    token, made = keep_token(path)
    assert (made, token) == (True, path.read_text().strip())
    assert token.startswith("sk-local-")
    assert keep_token(path) == (token, False)
    assert [entry.name for entry in path.parent.iterdir()] == ["serve.token"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_servers_that_start_together_agree_on_the_token(tmp_path: Path) -> None:
    barrier = threading.Barrier(8)

    def keep(_: int) -> tuple[str, bool]:
        barrier.wait(5)
        return keep_token(tmp_path / "serve.token")

    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(keep, range(8)))
    assert len({token for token, _ in kept}) == 1
    assert sum(made for _, made in kept) == 1


@pytest.mark.skipif(os.name != "posix", reason="there are no such modes")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_token_file_that_others_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "serve.token"
    path.write_text(KEY)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=f"other users.*mode {mode:04o}") as caught:
        keep_token(path)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("two words\n", "has characters")])
def test_a_token_file_without_a_token_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "serve.token"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=said):
        keep_token(path)


def test_a_token_file_that_is_a_folder_or_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "serve.token"):
        with pytest.raises(ConfigurationError, match=r"--token-file$|--token-file\.$"):
            keep_token(path)
