"""How large a picture becomes when it is drawn, read from its first bytes; a small file may be a huge picture.

Sources: PNG (W3C), section 11.2.2; GIF89a, section 18; RFC 9649 for WebP; ITU T.81 (JPEG), annex B.
"""

from __future__ import annotations

from collections.abc import Callable

_JPEG_BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def pixels(body: bytes) -> int:
    """The pixels of a PNG, JPEG, GIF or WebP; 0 if it does not say.

    >>> pixels(b"GIF89a" + bytes([16, 0, 8, 0]))
    128
    """
    for magic, read in _READERS.items():
        if body.startswith(magic):
            width, height = read(body)
            return width * height
    return 0


def _png(body: bytes) -> tuple[int, int]:
    if body[8:16] != b"\0\0\0\x0dIHDR":
        return 0, 0
    return int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")


def _gif(body: bytes) -> tuple[int, int]:
    return int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")


def _webp(body: bytes) -> tuple[int, int]:
    kind = body[12:16]
    if kind == b"VP8X":
        return int.from_bytes(body[24:27], "little") + 1, int.from_bytes(body[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        return int.from_bytes(body[26:28], "little") & 0x3FFF, int.from_bytes(body[28:30], "little") & 0x3FFF
    return 0, 0


def _jpeg(body: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_BARE:
            at += 2
        elif marker in _JPEG_FRAMES:
            return int.from_bytes(body[at + 7 : at + 9], "big"), int.from_bytes(body[at + 5 : at + 7], "big")
        else:
            at += 2 + max(2, int.from_bytes(body[at + 2 : at + 4], "big"))
    return 0, 0


_READERS: dict[bytes, Callable[[bytes], tuple[int, int]]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"GIF8": _gif,
    b"RIFF": _webp,
    b"\xff\xd8\xff": _jpeg,
}
