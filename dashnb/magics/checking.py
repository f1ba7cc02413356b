"""Checking an answer against a JSON schema, in work that grows with the answer.

A model writes the answer. The expressions of `re` could take years for a line of it, and to compare all elements of a
list with each other takes the square of their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import ValidationError  # type: ignore[import-untyped]
from jsonschema.validators import extend  # type: ignore[import-untyped]
from pydantic_core import SchemaError, SchemaValidator, core_schema

Errors = Iterator[ValidationError]


def patient(kind: Any) -> Any:
    """A validator as the given one of jsonschema whose work no answer makes endless.

    >>> from jsonschema import Draft202012Validator
    >>> patient(Draft202012Validator)({"pattern": "^(a+)+$"}).is_valid("a" * 40 + "!")
    False

    Expressions are those of Rust, which do not backtrack. Those with look-around or references to groups, which it
    lacks, are left to `re`.
    """
    additional = kind.VALIDATORS.get("additionalProperties")

    def additional_properties(validator: Any, wanted: Any, instance: Any, schema: Any) -> Errors:
        if validator.is_type(instance, "object"):
            fits = [_search(expression) for expression in schema.get("patternProperties", {})]
            known = [name for name in instance if any(search(name) for search in fits)]
            yield from additional(
                validator, wanted, instance, {"properties": {**schema.get("properties", {}), **dict.fromkeys(known)}}
            )

    replaced = {"pattern": _pattern, "patternProperties": _pattern_properties, "uniqueItems": _unique_items}
    if additional:
        replaced["additionalProperties"] = additional_properties
    return extend(kind, {name: check for name, check in replaced.items() if name in kind.VALIDATORS})


def _pattern(validator: Any, expression: str, instance: Any, _schema: Any) -> Errors:
    if validator.is_type(instance, "string") and not _search(expression)(instance):
        yield ValidationError(f"{instance!r} does not match {expression!r}")


def _pattern_properties(validator: Any, wanted: Mapping[str, Any], instance: Any, _schema: Any) -> Errors:
    if validator.is_type(instance, "object"):
        for expression, schema in wanted.items():
            search = _search(expression)
            for name, value in instance.items():
                if search(name):
                    yield from validator.descend(value, schema, path=name, schema_path=expression)


def _unique_items(validator: Any, is_wanted: bool, instance: Any, _schema: Any) -> Errors:
    if is_wanted and validator.is_type(instance, "array") and len({_frozen(one) for one in instance}) < len(instance):
        yield ValidationError(f"{instance!r} has non-unique elements")


def _frozen(value: Any) -> Hashable:
    """Equal for what JSON calls equal: 1 is 1.0, and true is not 1."""
    if isinstance(value, dict):
        return "object", frozenset((name, _frozen(one)) for name, one in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_frozen, value))
    return isinstance(value, bool), value


@lru_cache(maxsize=256)
def _search(expression: str) -> Callable[[str], object]:
    """What tells whether an expression is found in a text.

    Raises:
        ValidationError: It is no regular expression.
    """
    try:
        found = SchemaValidator(core_schema.str_schema(pattern=expression, regex_engine="rust-regex", strict=True))
    except SchemaError:
        try:
            return re.compile(expression).search
        except re.error as error:
            raise ValidationError(f"{expression!r} of the schema is no regular expression: {error}") from None
    return found.isinstance_python
