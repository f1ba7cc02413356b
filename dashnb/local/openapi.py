"""The embedded API described as an OpenAPI document, made from the same tables that it is served from."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dashnb import __version__
from dashnb.protocol.objects import ErrorInfo, WireObject
from dashnb.protocol.operations import OPERATIONS, Operation
from dashnb.protocol.requests import ListQuery

_REFERENCE = "#/components/schemas/{model}"
References = dict[Any, dict[str, Any]]

_ERRORS = {
    "400": "The request is wrong; the message names the field.",
    "401": "The key is missing or wrong.",
    "404": "An id names nothing here.",
}


def describe(prefix: str) -> dict[str, Any]:
    """The OpenAPI document of all operations.

    >>> document = describe("/api/v1")
    >>> sorted(document["paths"]["/api/v1/threads/{thread_id}"])
    ['delete', 'get', 'post', 'put']

    Args:
        prefix: What stands before every path.
    """
    schemas, definitions = models_json_schema([(model, "validation") for model in _models()], ref_template=_REFERENCE)
    references: References = {model: schema for (model, _), schema in schemas.items()}
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS.values():
        described = _describe(operation, references)
        entry = paths.setdefault(prefix + operation.path, {})
        entry[operation.method.lower()] = described
        if operation.name.endswith(".update"):
            entry["put"] = {**described, "operationId": f"{operation.name}.put"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "The Assistant API, embedded in dashnb", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _models() -> list[type[BaseModel]]:
    models: dict[type[BaseModel], None] = {ErrorInfo: None}
    for operation in OPERATIONS.values():
        models[operation.answer] = None
        if operation.body is not None:
            models[operation.body] = None
    return list(models)


def _describe(operation: Operation, references: References) -> dict[str, Any]:
    parameters = [_parameter("path", name, {"type": "string", "minLength": 1}) for name in operation.ids]
    if operation.is_list:
        fields = ListQuery.model_json_schema()["properties"]
        parameters += [_parameter("query", name, schema) for name, schema in fields.items()]
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.name.partition(".")[0]],
        "parameters": parameters,
        "responses": _responses(operation, references),
    }
    if operation.body is not None:
        content = {"application/json": {"schema": references[operation.body]}}
        described["requestBody"] = {"content": content, "required": True}
    return described


def _parameter(place: str, name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"in": place, "name": name, "required": place == "path", "schema": schema}


def _responses(operation: Operation, references: References) -> dict[str, Any]:
    answer = references[operation.answer]
    content: dict[str, Any] = {"application/json": {"schema": _page(answer) if operation.is_list else answer}}
    if operation.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    failures = {status: {"description": words, "content": _error(references)} for status, words in _ERRORS.items()}
    return {"200": {"description": _what(operation.answer), "content": content}, **failures}


def _page(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more", "request_id"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": entry},
            "first_id": {"type": "string"},
            "last_id": {"type": "string"},
            "has_more": {"type": "boolean"},
            "request_id": {"type": "string"},
        },
    }


def _error(references: References) -> dict[str, Any]:
    required = {"required": ["code", "message", "request_id"]}
    return {"application/json": {"schema": {"allOf": [references[ErrorInfo], required]}}}


def _what(answer: type[WireObject]) -> str:
    return (answer.__doc__ or answer.__name__).partition("\n")[0]
