"""The embedded API keeps to its own description, whatever it is sent."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from dashnb.local.app import PREFIX
from dashnb.local.models.guide import GuideEngine
from dashnb.local.openapi import describe
from dashnb.local.service import LocalService
from dashnb.protocol.operations import OPERATIONS

EXAMPLES = 5000
REFUSAL = {"code", "message", "request_id"}


@contextmanager
def on_a_port(service: LocalService) -> Iterator[str]:
    """The address of a service that is reached over TCP."""
    server = uvicorn.Server(uvicorn.Config(service.app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 10
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def test_the_description_has_every_operation_and_the_updates_twice() -> None:
    paths = describe(PREFIX)["paths"]
    named = {method["operationId"] for path in paths.values() for method in path.values()}
    updates = {f"{name}.put" for name in OPERATIONS if name.endswith(".update")}
    assert named == {*OPERATIONS, *updates}


def test_the_description_is_served_and_refers_to_nothing_that_is_missing() -> None:
    with LocalService(":memory:", GuideEngine()) as service, httpx.Client(transport=service.transport()) as client:
        document = client.get("http://dashnb.local/openapi.json").json()
    text = str(document)
    for name in {part.split("'")[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the generator's own
def test_no_request_breaks_the_server_and_every_refusal_has_the_documented_shape() -> None:
    """Requests that fit the description and requests that do not, most of them about objects that exist."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, given, seed, settings

    choice = random.Random(1)
    statuses: dict[int, int] = {}
    with LocalService(":memory:", GuideEngine()) as service, on_a_port(service) as address:
        known: dict[str, list[str]] = {}
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        operations = [result.ok() for result in schema.get_all_operations()]

        def check(case: Any) -> None:
            for name in case.path_parameters or {}:
                if name in known and choice.random() < 0.9:
                    case.path_parameters[name] = choice.choice(known[name])
            response = case.call()
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            assert response.status_code < 500, response.text
            if response.status_code >= 400:
                assert set(response.json()) == REFUSAL, response.text

        each = settings(
            max_examples=-(-EXAMPLES // len(operations)),
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        modes = schemathesis.GenerationMode
        for operation in operations:
            # New ones each time, as the operation before may have deleted them.
            known.update(_known_ids(f"{address}{PREFIX}"))
            for mode in (modes.POSITIVE, modes.NEGATIVE):
                cases = operation.as_strategy(generation_mode=mode)
                seed(1)(each(given(case=cases)(check)))()
    print("statuses:", dict(sorted(statuses.items())), "requests:", sum(statuses.values()))
    assert sum(statuses.values()) >= EXAMPLES
    assert {200, 400, 404} <= set(statuses)


def _known_ids(base_url: str) -> dict[str, list[str]]:
    """Some objects to ask about, by the names of their ids."""
    with httpx.Client(base_url=base_url, trust_env=False) as client:
        assistant = client.post("/assistants", json={"model": "qwen-max", "file_ids": ["file_1"]}).json()["id"]
        thread = client.post("/threads", json={"messages": [{"content": "What is 2 + 3?"}]}).json()["id"]
        message = client.get(f"/threads/{thread}/messages").json()["data"][0]["id"]
        run = client.post(f"/threads/{thread}/runs", json={"assistant_id": assistant}).json()["id"]
        until = time.monotonic() + 10
        while not (steps := client.get(f"/threads/{thread}/runs/{run}/steps").json()["data"]):
            assert time.monotonic() < until
    return {
        "assistant_id": [assistant],
        "thread_id": [thread],
        "message_id": [message],
        "run_id": [run],
        "step_id": [steps[0]["id"]],
        "file_id": ["file_1"],
    }
