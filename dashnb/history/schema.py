"""Which columns each table of the history has, and of which kind they are.

One declaration serves the database, the tables a person sees and every export, so that an empty table
has the same types as a full one. Columns are added at the end, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

# What a column holds:
#   id            text that names something; shown shortened
#   text          text
#   integer       a whole number
#   number        a number
#   milliseconds  how long something took, in milliseconds, with a fraction
#   time          a moment as whole milliseconds since 1970, UTC
Kind = Literal["id", "text", "integer", "number", "milliseconds", "time"]
Cell = str | int | float | None
Schema = Mapping[str, Kind]

TABLES: Mapping[str, Schema] = {
    "runs": {
        "id": "id",
        "thread_id": "id",
        "assistant_id": "id",
        "model": "text",
        "engine": "text",
        "status": "text",
        "created_at": "time",
        "duration_ms": "milliseconds",
        "time_to_first_token_ms": "milliseconds",
        "input_tokens": "integer",
        "output_tokens": "integer",
        "total_tokens": "integer",
        "cost": "number",
        "prompt": "text",
        "text": "text",
        "error_code": "text",
        "error_message": "text",
        "connection": "text",
        "currency": "text",
    },
    "steps": {
        "id": "id",
        "run_id": "id",
        "thread_id": "id",
        "position": "integer",
        "type": "text",
        "status": "text",
        "tool": "text",
        "arguments": "text",
        "output": "text",
        "text": "text",
        "duration_ms": "milliseconds",
        "error_code": "text",
    },
    "messages": {
        "id": "id",
        "run_id": "id",
        "thread_id": "id",
        "position": "integer",
        "role": "text",
        "text": "text",
        "created_at": "time",
    },
    "threads": {
        "id": "id",
        "runs": "integer",
        "messages": "integer",
        "first_at": "time",
        "last_at": "time",
        "total_tokens": "integer",
    },
    "tool_calls": {
        "run_id": "id",
        "step_id": "id",
        "number": "integer",
        "id": "id",
        "type": "text",
        "name": "text",
        "arguments": "text",
        "output": "text",
        "status": "text",
    },
}
