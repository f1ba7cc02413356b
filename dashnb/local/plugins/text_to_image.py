"""The picture tool: sketches in place of a diffusion model, in the documented shape of its output.

A picture comes as a ``data:`` address, so that it is kept wherever the answer is kept: no file server,
no link that expires. It is also a file in the data folder, for other programs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from dashnb.local.plugins import Plugin
from dashnb.local.plugins.arguments import read_arguments, text_argument
from dashnb.local.plugins.folder import PICTURES, Folder
from dashnb.local.plugins.sketch import draw

MOST = 4  # pictures of one call, as the platform allows
_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "dashnb:text_to_image")


def picture_tool(folder: Folder) -> Plugin:
    """Draws one or more sketches for the prompt of the arguments, and keeps them below a folder.

    >>> tool = picture_tool(lambda: Path("/nowhere"))
    >>> output = json.loads(asyncio.run(tool('{"prompt": "a ragdoll cat"}', {})))
    >>> output["output"]["task_status"], output["output"]["results"][0]["url"][:22]
    ('SUCCEEDED', 'data:image/png;base64,')

    The ids derive from the prompt and the times are empty, so that the same call gives the same output.
    The plugin raises `PluginError` if the arguments are not JSON, or hold no prompt. A folder that cannot
    be written to is no reason to fail: the picture is in the output.
    """

    async def text_to_image(arguments: str, tool: dict[str, Any]) -> str:
        given = read_arguments(arguments, plugin="text_to_image")
        prompt = text_argument(given, "prompt", "text", "input", plugin="text_to_image")
        task_id = str(uuid.uuid5(_SPACE, f"task {prompt}"))
        # Drawing takes about a tenth of a second: in a thread, so that other streams go on meanwhile.
        pictures = await asyncio.to_thread(_pictures, prompt, _count(given.get("n", 1)))
        await asyncio.to_thread(_keep, pictures, folder() / PICTURES, task_id)
        urls = [f"data:image/png;base64,{base64.b64encode(picture).decode()}" for picture in pictures]
        output = {
            "task_id": task_id,
            "task_status": "SUCCEEDED",
            "submit_time": "",
            "scheduled_time": "",
            "end_time": "",
            "results": [{"url": url} for url in urls],
            "task_metrics": {"TOTAL": len(urls), "SUCCEEDED": len(urls), "FAILED": 0},
        }
        answer = {
            "request_id": str(uuid.uuid5(_SPACE, f"request {prompt}")),
            "output": output,
            "usage": {"image_count": len(urls)},
        }
        return json.dumps(answer, ensure_ascii=False)

    return text_to_image


def _count(wanted: object) -> int:
    return min(max(wanted, 1), MOST) if isinstance(wanted, int) else 1


def _pictures(prompt: str, count: int) -> list[bytes]:
    # Further pictures of one prompt differ in what its hash decides: the sky, or the composition.
    return [draw(one) for one in (prompt, *(f"{prompt} ({number})" for number in range(2, count + 1)))]


def _keep(pictures: list[bytes], folder: Path, task_id: str) -> None:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for number, picture in enumerate(pictures, 1):
            (folder / f"{task_id}-{number}.png").write_bytes(picture)
