"""A page that is watched: what happens in it that must not happen."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
PATIENCE = 60  # seconds to wait for a page that does not react


class Watch:
    """What happened in a page that must not happen."""

    def __init__(self, page: Page, own: str = "") -> None:
        self.seen: list[str] = []
        self._own = own
        page.on("dialog", self._dialog)
        page.on("pageerror", lambda error: self.seen.append(f"error {error}"[:300]))
        page.on(
            "console", lambda line: self.seen.append(f"console {line.text}"[:300]) if line.type == "error" else None
        )
        page.on("popup", lambda other: self.seen.append(f"window {other.url}"))
        page.on("download", lambda file: self.seen.append(f"download {file.url}"))
        page.on("request", self._request)

    def _dialog(self, dialog: Any) -> None:
        self.seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        if not is_picture(request) and not (
            self._own and request.url.startswith(self._own) and "evil" not in request.url
        ):
            self.seen.append(f"request {request.resource_type} {request.url[:300]}")

    def of_mine(self) -> list[str]:
        """What was seen, errors of other people's programs aside."""
        return [line for line in self.seen if not line.startswith(("console", "error"))]


def is_picture(request: Request) -> bool:
    raster = ("data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp", "https://")
    return request.resource_type == "image" and request.url.lower().startswith(raster)


def asked(page: Page, script: str, argument: Any = None) -> Any:
    """What the script returns. A page that hangs fails the test and does not hold it."""
    page.evaluate(
        """([script, argument]) => {
            window.asked = null;
            const answer = async () => ({found: await eval(`(${script})`)(argument)});
            const failed = error => ({error: String(error)});
            setTimeout(async () => { window.asked = await answer().catch(failed); });
        }""",
        [script, argument],
    )
    page.wait_for_function("window.asked", polling=50, timeout=1000 * PATIENCE)
    answer = page.evaluate("window.asked")
    assert "error" not in answer, answer["error"]
    return answer["found"]
