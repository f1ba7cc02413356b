"""A small anti-aliased canvas that becomes a palette PNG: enough to draw a cat, and nothing more.

Every shape is a polygon: ellipses and smooth outlines are polygons with many corners. A polygon is
filled line by line; each line of pixels is cut by four scan lines, and how much of a pixel they cover
is how much of the colour it gets. Inner pixels, which all four cover, are written in one slice: a
picture of sixty shapes takes some tens of milliseconds.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
Colour = tuple[int, int, int]

SCANS = 4  # scan lines per line of pixels
PALETTE = 40  # more colours than one sees the difference of would double the size of the file


class Canvas:
    """A square picture with drawing operations.

    >>> canvas = Canvas(8, (255, 255, 255))
    >>> canvas.polygon([(2, 2), (6, 2), (6, 6), (2, 6)], (0, 0, 255))
    >>> canvas.pixel(3, 3), canvas.pixel(0, 0)
    ((0, 0, 255), (255, 255, 255))
    >>> canvas.png()[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'

    Coordinates grow to the right and down; what lies outside is cut off.
    """

    def __init__(self, size: int, background: Colour) -> None:
        self.size = size
        self._rows = [bytearray(bytes(background) * size) for _ in range(size)]

    def pixel(self, x: int, y: int) -> Colour:
        """The colour of one pixel."""
        red, green, blue = self._rows[y][3 * x : 3 * x + 3]
        return red, green, blue

    def polygon(self, corners: Sequence[Point], colour: Colour, *, alpha: float = 1.0) -> None:
        """Fills a polygon; where it crosses itself, the even-odd rule says what is inside."""
        scans = self._crossings(corners)
        for y in sorted({scan // SCANS for scan in scans}):
            self._fill_row(y, [sorted(scans.get(y * SCANS + i, ())) for i in range(SCANS)], colour, alpha)

    def ellipse(
        self, x: float, y: float, width: float, height: float, colour: Colour, *, turn: float = 0, alpha: float = 1.0
    ) -> None:
        """Fills an ellipse around a point, given its two radii and its turn in degrees, clockwise."""
        self.polygon(ellipse(x, y, width, height, turn=turn), colour, alpha=alpha)

    def blob(self, through: Sequence[Point], colour: Colour, *, alpha: float = 1.0) -> None:
        """Fills a smooth closed outline that passes through these points."""
        self.polygon(smooth(through), colour, alpha=alpha)

    def line(self, along: Sequence[Point], width: float, colour: Colour, *, taper: bool = False) -> None:
        """Draws a line with round ends through these points; with `taper` it thins out to its end."""
        steps = max(len(along) - 1, 1)
        for i, (start, end) in enumerate(itertools.pairwise(along)):
            share = 1 - i / steps if taper else 1.0
            self._stroke(start, end, max(width * share, 0.8), colour)

    def curve(self, through: Sequence[Point], width: float, colour: Colour, *, taper: bool = False) -> None:
        """Draws a smooth open line through these points."""
        self.line(smooth(through, closed=False), width, colour, taper=taper)

    def png(self) -> bytes:
        """The picture as a PNG with a palette of few colours."""
        pixels = b"".join(self._rows)
        colours = [pixels[i : i + 3] for i in range(0, len(pixels), 3)]
        counts: dict[bytes, int] = {}
        for colour in colours:
            counts[colour] = counts.get(colour, 0) + 1
        palette, number = _palette(counts)
        indices = bytes(map(number.__getitem__, colours))
        lines = b"".join(b"\0" + indices[y * self.size : (y + 1) * self.size] for y in range(self.size))
        header = struct.pack(">IIBBBBB", self.size, self.size, 8, 3, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)

    def _stroke(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / length * width / 2, dx / length * width / 2
        corners = [(start[0] + nx, start[1] + ny), (end[0] + nx, end[1] + ny)]
        corners += [(end[0] - nx, end[1] - ny), (start[0] - nx, start[1] - ny)]
        self.polygon(corners, colour)
        if width > 1.5:
            for x, y in (start, end):
                self.polygon(ellipse(x, y, width / 2, width / 2, corners=12), colour)

    def _crossings(self, corners: Sequence[Point]) -> dict[int, list[float]]:
        """Where each scan line enters or leaves the polygon."""
        scans: dict[int, list[float]] = {}
        last = self.size * SCANS
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            if y0 > y1:
                x0, y0, x1, y1 = x1, y1, x0, y0
            # A scan line lies in the middle of its quarter of a pixel.
            first, end = math.ceil(y0 * SCANS - 0.5), math.ceil(y1 * SCANS - 0.5)
            if first == end:
                continue
            slope = (x1 - x0) / (y1 - y0)
            for scan in range(max(first, 0), min(end, last)):
                scans.setdefault(scan, []).append(x0 + ((scan + 0.5) / SCANS - y0) * slope)
        return scans

    def _fill_row(self, y: int, scans: list[list[float]], colour: Colour, alpha: float) -> None:
        spans = [
            (max(left, 0.0), min(right, float(self.size)))
            for scan in scans
            for left, right in zip(scan[::2], scan[1::2], strict=False)
            if right > 0 and left < self.size
        ]
        if not spans:
            return
        inner = (0, 0)
        if alpha == 1.0 and len(spans) == SCANS and all(len(scan) == 2 for scan in scans):
            inner = (math.ceil(max(left for left, _ in spans)), int(min(right for _, right in spans)))
        if inner[0] < inner[1]:
            self._rows[y][3 * inner[0] : 3 * inner[1]] = bytes(colour) * (inner[1] - inner[0])
            outside = [(left, min(right, float(inner[0]))) for left, right in spans]
            outside += [(max(left, float(inner[1])), right) for left, right in spans]
            spans = [span for span in outside if span[0] < span[1]]
        for x, cover in _coverage(spans).items():
            self._blend(y, x, colour, min(cover / SCANS, 1.0) * alpha)

    def _blend(self, y: int, x: int, colour: Colour, share: float) -> None:
        # Four steps of mixing still look smooth, and they keep the palette, and so the file, small.
        share = round(share * 4) / 4
        row, at = self._rows[y], 3 * x
        for i in range(3):
            row[at + i] += round((colour[i] - row[at + i]) * share)


def ellipse(x: float, y: float, width: float, height: float, *, turn: float = 0, corners: int = 48) -> list[Point]:
    """The corners of an ellipse.

    >>> [(round(x), round(y)) for x, y in ellipse(0, 0, 2, 1, corners=4)]
    [(2, 0), (0, 1), (-2, 0), (0, -1)]
    """
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    angles = [2 * math.pi * i / corners for i in range(corners)]
    flat = [(width * math.cos(angle), height * math.sin(angle)) for angle in angles]
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in flat]


def smooth(through: Sequence[Point], *, closed: bool = True, steps: int = 6) -> list[Point]:
    """The corners of a smooth line through these points (a Catmull-Rom spline).

    >>> smooth([(0, 0), (3, 0)], closed=False, steps=3)
    [(0.0, 0.0), (1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]
    """
    points = list(through)
    around = [points[-1], *points, points[0], points[1]] if closed else [points[0], *points, points[-1]]
    if not closed and len(points) == 2:
        (x0, y0), (x1, y1) = points
        return [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps + 1)]
    line: list[Point] = []
    for a, b, c, d in zip(around, around[1:], around[2:], around[3:], strict=False):
        line += [
            (_spline(a[0], b[0], c[0], d[0], i / steps), _spline(a[1], b[1], c[1], d[1], i / steps))
            for i in range(steps)
        ]
    return line if closed else [*line, points[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


def _coverage(spans: Iterable[tuple[float, float]]) -> dict[int, float]:
    """How much of each pixel these stretches of scan lines cover, added up."""
    cover: dict[int, float] = {}
    for left, right in spans:
        for x in range(int(left), math.ceil(right)):
            cover[x] = cover.get(x, 0.0) + min(right, x + 1) - max(left, x)
    return cover


def _palette(counts: dict[bytes, int]) -> tuple[list[bytes], dict[bytes, int]]:
    """The most frequent colours, and for every colour the number of the one that stands for it."""
    ordered = sorted(counts, key=lambda colour: (-counts[colour], colour))
    palette = ordered[:PALETTE]
    number = {colour: i for i, colour in enumerate(palette)}
    for colour in ordered[PALETTE:]:
        number[colour] = min(range(len(palette)), key=lambda i: _distance(palette[i], colour))
    return palette, number


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
