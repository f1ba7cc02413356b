"""The tool ``generate_qrcode``: a text or an address as a QR code, in the shape of a picture's output.

Only the tool's name is documented. The code comes as a ``data:`` address of a small PNG, as pictures do.
"""

from __future__ import annotations

import base64
import io
import json
import uuid
from typing import Any

from dashnb.local.plugins import PluginError
from dashnb.local.plugins.arguments import read_arguments, text_argument

MOST_BYTES = 1000  # of the text, so that the picture stays below 4 kB
_SIDE = 320  # pixels, roughly
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dashnb:generate_qrcode")


async def generate_qrcode(arguments: str, tool: dict[str, Any]) -> str:
    """The text of the arguments as a QR code, as JSON text.

    >>> import asyncio
    >>> output = json.loads(asyncio.run(generate_qrcode('{"text": "https://example.org"}', {})))
    >>> output["output"]["task_status"], output["output"]["results"][0]["url"][:22]
    ('SUCCEEDED', 'data:image/png;base64,')

    Raises:
        PluginError: The arguments are not JSON, hold no text, or one that is too long.
    """
    given = read_arguments(arguments, plugin="generate_qrcode")
    text = text_argument(given, "text", "content", "url", plugin="generate_qrcode")
    size = len(text.encode("utf-8", "replace"))
    if size > MOST_BYTES:
        raise PluginError(f"generate_qrcode takes at most {MOST_BYTES} bytes of text, not {size}.")
    url = f"data:image/png;base64,{base64.b64encode(_png(text)).decode()}"
    output = {
        "task_id": str(uuid.uuid5(_SPACE, f"task {text}")),
        "task_status": "SUCCEEDED",
        "submit_time": "",
        "scheduled_time": "",
        "end_time": "",
        "results": [{"url": url}],
        "task_metrics": {"TOTAL": 1, "SUCCEEDED": 1, "FAILED": 0},
    }
    answer = {
        "request_id": str(uuid.uuid5(_SPACE, f"request {text}")),
        "output": output,
        "usage": {"image_count": 1},
    }
    return json.dumps(answer, ensure_ascii=False)


def _png(text: str) -> bytes:
    import segno

    code = segno.make(text, micro=False, error="m")
    width, _ = code.symbol_size()
    file = io.BytesIO()
    code.save(file, kind="png", scale=max(2, _SIDE // int(width)))
    return file.getvalue()
