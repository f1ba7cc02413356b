"""What to draw for a prompt: a few subjects, an abstract composition for everything else.

The picture depends on the prompt and on nothing else: the same words give the same bytes. Which
subject is drawn, a table of words in English, Chinese and Japanese says; the sky behind it follows
words such as "night" or "sunset", otherwise a hash of the prompt.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable

from dashnb.local.plugins.canvas import Canvas, Colour

SIZE = 256

Draw = Callable[[Canvas], None]

INK: Colour = (74, 58, 54)
WHITE: Colour = (255, 255, 255)
SKIES: dict[str, Colour] = {
    "mint": (203, 226, 216),
    "peach": (247, 214, 190),
    "sky": (190, 218, 236),
    "lilac": (214, 205, 232),
    "sand": (240, 223, 190),
    "night": (38, 46, 84),
    "sunset": (246, 165, 118),
    "sea": (150, 206, 222),
}
_MOODS = (
    (r"\bnight\b|\bmoon(?:light)?\b|\bstars?\b|\bstarry\b|夜|月|星", "night"),
    (r"\bsunset\b|\bdusk\b|\bevening\b|日落|夕阳|晚霞|夕焼け|夕日|夕暮れ", "sunset"),
    (r"\bsea\b|\bocean\b|\bunderwater\b|大海|海", "sea"),
)
_QUIET = ("mint", "peach", "sky", "lilac", "sand")


def draw(prompt: str) -> bytes:
    """The PNG of a sketch for this prompt, 256 by 256 pixels.

    >>> draw("a ragdoll cat") == draw("a ragdoll cat"), draw("a ragdoll cat") == draw("a ship")
    (True, False)
    """
    digest = hashlib.sha256(prompt.encode()).digest()
    sky = sky_of(prompt)
    canvas = Canvas(SIZE, SKIES[sky])
    subject = subject_of(prompt)
    if subject == "abstract":
        _abstract(canvas, digest)
    else:
        _SUBJECTS[subject][1](canvas, sky)
    _pencil(canvas)
    return canvas.png()


def subject_of(prompt: str) -> str:
    """The name of what `draw` draws for this prompt; ``abstract`` if it knows none of the words.

    >>> subject_of("A ragdoll cat on a sofa"), subject_of("雪山"), subject_of("a theory of colours")
    ('cat', 'mountain', 'abstract')
    """
    found = [
        (match.start(), name)
        for name, (words, _) in _SUBJECTS.items()
        if (match := re.search(words, prompt, re.IGNORECASE))
    ]
    return min(found)[1] if found else "abstract"


def sky_of(prompt: str) -> str:
    """The name of the background in `SKIES`.

    >>> sky_of("a ship at night"), sky_of("夕焼けの海")
    ('night', 'sunset')
    """
    for words, mood in _MOODS:
        if re.search(words, prompt, re.IGNORECASE):
            return mood
    return _QUIET[hashlib.sha256(prompt.encode()).digest()[0] % len(_QUIET)]


# Every subject draws itself on the canvas; it also gets the name of the sky it stands in front of.


def _cat(canvas: Canvas, sky: str) -> None:
    cream, shade, point, dark = (252, 243, 228), (236, 220, 198), (150, 120, 104), (112, 86, 76)
    _ground(canvas, (226, 190, 160) if sky != "night" else (70, 74, 112))
    _light(canvas, sky)
    # Tail first: everything else lies in front of it.
    canvas.curve([(176, 214), (208, 210), (222, 184), (212, 158), (218, 142)], 24, dark)
    canvas.curve([(180, 213), (207, 208), (219, 184), (209, 160), (214, 146)], 16, point)
    # Body, chest and paws.
    canvas.blob([(84, 226), (74, 190), (88, 152), (128, 136), (168, 152), (184, 190), (176, 226), (130, 234)], shade)
    canvas.blob([(92, 224), (84, 188), (98, 152), (128, 142), (158, 152), (170, 190), (166, 224), (128, 230)], cream)
    for x in (88, 169):
        canvas.ellipse(x, 218, 21, 14, shade)
        canvas.ellipse(x, 216, 20, 12, cream)
    for x in (112, 146):
        canvas.ellipse(x, 222, 16, 12, shade)
        canvas.ellipse(x, 220, 15, 11, WHITE)
        for toe in (-5, 0, 5):
            canvas.line([(x + toe, 222), (x + toe, 228)], 1.4, (206, 186, 168))
    # The ruff: a ragdoll's long fur below the chin.
    canvas.polygon(_fringe(128, 150, 50, 34, 9), WHITE)
    # Ears.
    for side in (-1, 1):
        canvas.blob([(128 + side * x, y) for x, y in ((62, 82), (66, 34), (58, 28), (22, 56))], dark)
        canvas.blob([(128 + side * x, y) for x, y in ((57, 74), (59, 44), (54, 41), (34, 60))], (226, 168, 160))
    # Head with cheek fur, then the mask that leaves an inverted V of white.
    canvas.blob([(128, 46), (166, 54), (192, 84), (194, 108), (204, 124), (184, 132), (164, 148), (128, 156),
                 (92, 148), (72, 132), (52, 124), (62, 108), (64, 84), (90, 54)], cream)  # fmt: skip
    for side in (-1, 1):
        mask = ((6, 52), (34, 56), (58, 82), (60, 108), (46, 124), (28, 118), (16, 96))
        canvas.blob([(128 + side * x, y) for x, y in mask], (196, 166, 146))
        canvas.ellipse(128 + side * 34, 99, 20, 20, point, turn=side * 20)
    canvas.blob([(128, 62), (138, 98), (158, 128), (150, 144), (128, 150), (106, 144), (98, 128), (118, 98)], WHITE)
    _cat_face(canvas)


def _cat_face(canvas: Canvas) -> None:
    for side in (-1, 1):
        x = 128 + side * 33
        canvas.ellipse(x, 100, 16.5, 16.5, INK, turn=side * -14)
        canvas.ellipse(x, 101, 14.5, 14, (86, 160, 222))
        canvas.ellipse(x, 105, 11, 8, (134, 198, 240))
        canvas.ellipse(x, 100, 7, 10, (28, 32, 48))
        canvas.ellipse(x - 4, 94, 4.2, 4.6, WHITE)
        canvas.ellipse(x + 5, 107, 2, 2, WHITE)
        canvas.ellipse(128 + side * 46, 128, 10, 6, (250, 206, 196))
        for y, bend in ((125, -5), (134, 4)):
            canvas.line([(128 + side * 62, y), (128 + side * 88, y + bend)], 1.2, WHITE)
    canvas.blob([(119, 121), (128, 119), (137, 121), (128, 130)], (232, 138, 140))
    canvas.line([(128, 129), (128, 134)], 1.8, INK)
    for side in (-1, 1):
        canvas.curve([(128, 134), (128 + side * 7, 139), (128 + side * 14, 135)], 1.8, INK)


def _dog(canvas: Canvas, sky: str) -> None:
    fur, shade, ear = (222, 168, 106), (200, 144, 86), (140, 92, 60)
    _ground(canvas, (180, 206, 148) if sky != "night" else (60, 80, 96))
    _light(canvas, sky)
    canvas.curve([(176, 200), (204, 186), (214, 160)], 16, shade, taper=True)
    canvas.blob([(82, 228), (78, 184), (100, 150), (128, 144), (156, 150), (178, 184), (174, 228), (128, 234)], fur)
    canvas.blob([(104, 222), (106, 176), (128, 160), (150, 176), (152, 222)], (248, 226, 196))
    for x in (104, 152):
        canvas.ellipse(x, 224, 18, 11, shade)
        canvas.ellipse(x, 222, 17, 10, (248, 226, 196))
    canvas.ellipse(128, 100, 56, 54, fur)
    for side in (-1, 1):
        canvas.blob(
            [(128 + side * x, y) for x, y in ((38, 54), (62, 58), (76, 96), (68, 134), (50, 122), (46, 84))], ear
        )
        canvas.ellipse(128 + side * 24, 92, 9, 10.5, INK)
        canvas.ellipse(128 + side * 24 - 3, 88, 3, 3.4, WHITE)
    canvas.ellipse(128, 126, 30, 26, (250, 232, 206))
    canvas.blob([(120, 138), (136, 138), (138, 158), (128, 166), (118, 158)], (236, 120, 124))
    canvas.ellipse(128, 112, 12, 9, INK)
    canvas.ellipse(124, 109, 3.4, 2.2, (150, 136, 130))
    canvas.line([(128, 120), (128, 132)], 2.4, INK)
    for side in (-1, 1):
        canvas.curve([(128, 132), (128 + side * 10, 140), (128 + side * 19, 134)], 2.4, INK)


def _house(canvas: Canvas, sky: str) -> None:
    night = sky == "night"
    _ground(canvas, (142, 186, 118) if not night else (52, 76, 84))
    _light(canvas, sky)
    canvas.polygon([(164, 56), (184, 56), (184, 100), (164, 100)], (150, 88, 74))
    canvas.polygon([(70, 120), (190, 120), (190, 208), (70, 208)], (250, 236, 212))
    canvas.polygon([(52, 124), (130, 58), (208, 124)], (190, 84, 70))
    canvas.polygon([(52, 124), (208, 124), (202, 130), (58, 130)], (150, 64, 56))
    canvas.polygon([(114, 156), (146, 156), (146, 208), (114, 208)], (124, 84, 60))
    canvas.ellipse(140, 184, 2.6, 2.6, (250, 214, 120))
    pane = (255, 222, 130) if night else (168, 212, 232)
    for x in (80, 158):
        canvas.polygon([(x, 144), (x + 24, 144), (x + 24, 170), (x, 170)], (124, 84, 60))
        canvas.polygon([(x + 2, 146), (x + 22, 146), (x + 22, 168), (x + 2, 168)], pane)
        canvas.line([(x + 12, 146), (x + 12, 168)], 1.6, (124, 84, 60))
        canvas.line([(x + 2, 157), (x + 22, 157)], 1.6, (124, 84, 60))
    for x, y, size in ((176, 40, 8), (190, 28, 11), (208, 16, 13)):
        canvas.ellipse(x, y, size, size * 0.8, WHITE, alpha=0.75)
    canvas.polygon([(116, 208), (144, 208), (166, 256), (94, 256)], (226, 206, 170))


def _tree(canvas: Canvas, sky: str) -> None:
    _ground(canvas, (150, 192, 120) if sky != "night" else (48, 72, 82))
    _light(canvas, sky)
    canvas.blob([(118, 226), (122, 170), (104, 140), (112, 134), (128, 154), (146, 128), (154, 134), (138, 168),
                 (142, 226)], (122, 88, 64))  # fmt: skip
    for x, y, radius, colour in (
        (88, 122, 40, (70, 128, 82)), (168, 120, 42, (70, 128, 82)), (128, 84, 52, (86, 150, 92)),
        (102, 108, 36, (86, 150, 92)), (158, 104, 34, (100, 168, 100)), (116, 74, 30, (124, 186, 112)),
    ):  # fmt: skip
        canvas.ellipse(x, y, radius, radius * 0.86, colour)
    for x, y in ((92, 118), (120, 96), (152, 84), (170, 122), (136, 120), (106, 66)):
        canvas.ellipse(x, y, 5.5, 5.5, (222, 86, 76))
        canvas.ellipse(x - 1.6, y - 1.8, 1.6, 1.6, (250, 196, 184))


def _sun(canvas: Canvas, sky: str) -> None:
    for i in range(16):
        angle = math.pi * i / 8
        near, far = (76, 106) if i % 2 else (76, 118)
        tip = (128 + far * math.cos(angle), 122 + far * math.sin(angle))
        base = [(128 + near * math.cos(angle + turn), 122 + near * math.sin(angle + turn)) for turn in (-0.13, 0.13)]
        canvas.polygon([*base, tip], (250, 188, 72))
    canvas.ellipse(128, 122, 66, 66, (255, 214, 92))
    canvas.ellipse(118, 110, 46, 44, (255, 226, 128))
    for side in (-1, 1):
        canvas.ellipse(128 + side * 22, 114, 6, 8, INK)
        canvas.ellipse(128 + side * 38, 134, 10, 7, (250, 168, 110))
    canvas.curve([(104, 136), (114, 146), (128, 150), (142, 146), (152, 136)], 4, INK)
    if sky == "sea":
        _waves(canvas, 210)


def _mountain(canvas: Canvas, sky: str) -> None:
    _light(canvas, sky)
    far, near = ((134, 158, 190), (92, 118, 152)) if sky != "night" else ((74, 86, 132), (54, 66, 108))
    canvas.polygon([(-20, 210), (58, 96), (104, 150), (150, 210)], far)
    canvas.polygon([(58, 96), (38, 126), (50, 120), (58, 130), (68, 118), (82, 124)], WHITE)
    canvas.polygon([(60, 214), (158, 58), (276, 214)], near)
    canvas.polygon([(158, 58), (128, 106), (144, 98), (154, 114), (168, 98), (178, 112), (196, 108)], WHITE)
    canvas.polygon([(158, 58), (276, 214), (190, 214), (172, 140)], (0, 20, 60), alpha=0.12)
    canvas.blob([(-30, 206), (40, 188), (120, 198), (200, 186), (290, 200), (290, 290), (-30, 290)], (108, 160, 116))
    canvas.blob([(-30, 226), (60, 216), (140, 226), (230, 214), (290, 226), (290, 290), (-30, 290)], (88, 140, 102))
    for x, y, size in ((36, 210, 26), (60, 216, 20), (206, 208, 28), (232, 214, 22), (184, 218, 16)):
        canvas.polygon([(x - size * 0.4, y), (x, y - size * 1.5), (x + size * 0.4, y)], (52, 98, 80))


def _flower(canvas: Canvas, sky: str) -> None:
    _ground(canvas, (150, 192, 120) if sky != "night" else (48, 72, 82))
    canvas.curve([(128, 240), (134, 190), (128, 120)], 8, (84, 142, 84))
    canvas.blob([(130, 204), (156, 176), (190, 172), (172, 198)], (104, 166, 96))
    canvas.blob([(130, 216), (104, 192), (70, 190), (88, 214)], (104, 166, 96))
    for ring, (reach, size, colour) in enumerate(((44, 28, (232, 118, 146)), (34, 22, (246, 156, 172)))):
        for i in range(8):
            turn = 45 * i + 22.5 * ring
            x, y = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            canvas.ellipse(128 + reach * x, 96 + reach * y, size, size * 0.56, colour, turn=turn)
    canvas.ellipse(128, 96, 23, 23, (236, 164, 52))
    canvas.ellipse(125, 93, 18, 18, (252, 206, 90))
    for i in range(9):
        x, y = math.cos(i * 2.4) * 4.2 * math.sqrt(i), math.sin(i * 2.4) * 4.2 * math.sqrt(i)
        canvas.ellipse(126 + x, 94 + y, 1.7, 1.7, (206, 132, 44))


def _fish(canvas: Canvas, sky: str) -> None:
    canvas.polygon([(0, 0), (256, 0), (256, 256), (0, 256)], (126, 196, 216) if sky != "night" else (46, 84, 124))
    canvas.blob([(-20, 232), (60, 222), (140, 234), (280, 222), (280, 280), (-20, 280)], (236, 216, 168))
    for x, lean in ((36, -6), (50, 8), (222, 6), (208, -8)):
        canvas.curve([(x, 240), (x + lean, 206), (x - lean, 176), (x + lean, 150)], 7, (86, 160, 126), taper=True)
    canvas.blob([(168, 128), (212, 88), (222, 96), (206, 128), (222, 160), (212, 168)], (240, 128, 66))
    canvas.blob([(120, 96), (136, 64), (166, 74), (170, 104)], (240, 128, 66))
    canvas.blob(
        [(46, 128), (74, 98), (116, 86), (156, 100), (180, 128), (156, 156), (116, 170), (74, 158)], (252, 158, 78)
    )
    canvas.blob([(58, 144), (100, 152), (160, 142), (150, 158), (116, 168), (76, 158)], (255, 206, 140))
    canvas.curve([(96, 96), (106, 128), (96, 160)], 9, WHITE)
    canvas.curve([(146, 98), (154, 128), (146, 156)], 7, WHITE)
    canvas.blob([(112, 132), (136, 140), (128, 160), (112, 150)], (240, 128, 66))
    canvas.ellipse(72, 122, 10, 11, WHITE)
    canvas.ellipse(70, 122, 6, 7, INK)
    canvas.ellipse(68, 119, 2, 2.4, WHITE)
    canvas.curve([(50, 136), (58, 142), (66, 140)], 2.2, INK)
    for x, y, radius in ((34, 92, 7), (46, 66, 5), (32, 46, 9)):
        canvas.ellipse(x, y, radius, radius, WHITE, alpha=0.55)


def _ship(canvas: Canvas, sky: str) -> None:
    _light(canvas, sky)
    canvas.line([(128, 176), (128, 40)], 5, (122, 88, 64))
    canvas.blob([(122, 50), (84, 100), (62, 158), (122, 156)], (252, 244, 228))
    canvas.blob([(134, 62), (168, 104), (186, 154), (134, 156)], (236, 222, 200))
    canvas.polygon([(128, 40), (156, 48), (128, 58)], (214, 84, 72))
    canvas.blob([(44, 172), (128, 178), (212, 168), (188, 210), (128, 218), (70, 212)], (156, 92, 66))
    canvas.curve([(50, 180), (128, 188), (206, 178)], 4, (250, 222, 160))
    for x in (96, 128, 160):
        canvas.ellipse(x, 200, 4.6, 4.6, (250, 222, 160))
    _waves(canvas, 204)


def _abstract(canvas: Canvas, digest: bytes) -> None:
    """A quiet composition of discs, bands and lines; the hash of the prompt says which and where."""
    colours = ((222, 108, 92), (244, 190, 92), (92, 142, 168), (84, 128, 108), (250, 240, 222), (96, 80, 120))
    for i in range(7):
        a, b, c, d = digest[4 * i : 4 * i + 4]
        colour = colours[(a + i) % len(colours)]
        x, y, size = 24 + b * 0.82, 24 + c * 0.82, 18 + d % 44
        if a % 3 == 0:
            canvas.ellipse(x, y, size, size, colour, alpha=0.85)
        elif a % 3 == 1:
            canvas.blob(
                [(x - size, y), (x, y - size * 0.6), (x + size, y - 8), (x + size * 0.4, y + size * 0.7)], colour
            )
        else:
            canvas.curve([(x - 70, y), (x - 20, y - size), (x + 30, y + size), (x + 80, y)], 3 + d % 6, colour)
    canvas.curve([(20, 200), (90, 180 + digest[28] % 40), (170, 190 + digest[29] % 40), (236, 196)], 2.4, INK)


# What several pictures share.


def _ground(canvas: Canvas, colour: Colour) -> None:
    canvas.blob([(-40, 206), (60, 192), (190, 194), (300, 204), (300, 300), (-40, 300)], colour)


def _light(canvas: Canvas, sky: str) -> None:
    """The sun, or at night the moon and a few stars, behind everything else."""
    if sky == "night":
        canvas.ellipse(40, 44, 22, 22, (250, 240, 206))
        canvas.ellipse(49, 38, 19, 19, SKIES["night"])
        for x, y, radius in (
            (96, 22, 1.8),
            (226, 30, 2.2),
            (20, 96, 1.6),
            (236, 84, 1.6),
            (150, 18, 1.5),
            (30, 140, 1.8),
        ):
            canvas.ellipse(x, y, radius, radius, (250, 240, 206))
    elif sky == "sunset":
        canvas.ellipse(44, 60, 27, 27, (255, 222, 140))
    else:
        canvas.ellipse(40, 42, 21, 21, (255, 244, 214))


def _waves(canvas: Canvas, top: float) -> None:
    for i, colour in enumerate(((88, 152, 190), (70, 130, 174))):
        y = top + 16 * i
        crest = [(x, y + (5 if (x // 26 + i) % 2 else -5)) for x in range(-26, 300, 26)]
        canvas.blob([*crest, (300.0, 300.0), (-40.0, 300.0)], colour)


def _fringe(x: float, y: float, width: float, height: float, tufts: int) -> list[tuple[float, float]]:
    """A half disc whose lower edge ends in tufts of fur."""
    edge: list[tuple[float, float]] = []
    for i in range(2 * tufts + 1):
        angle = math.pi * i / (2 * tufts)
        reach = 1.16 if i % 2 else 0.94
        edge.append((x + width * math.cos(angle) * reach, y + height * math.sin(angle) * reach))
    return edge


def _pencil(canvas: Canvas) -> None:
    """The mark in the corner: this is a sketch, not a photograph."""
    canvas.polygon([(226, 240), (232, 246), (246, 232), (240, 226)], (246, 196, 84))
    canvas.polygon([(240, 226), (246, 232), (250, 228), (244, 222)], (226, 120, 118))
    canvas.polygon([(226, 240), (232, 246), (222, 250)], (250, 232, 206))
    canvas.polygon([(223.4, 246), (226, 248.6), (222, 250)], INK)


_SUBJECTS: dict[str, tuple[str, Callable[[Canvas, str], None]]] = {
    "cat": (r"\b(?:cats?|kittens?|kitty|ragdolls?)\b|猫|貓|ねこ|ネコ|ラグドール", _cat),
    "dog": (r"\b(?:dogs?|pupp(?:y|ies))\b|狗|犬|いぬ|イヌ", _dog),
    "house": (r"\b(?:houses?|homes?|cottages?|huts?)\b|房子|房屋|小屋|家(?!族)|屋敷", _house),
    "tree": (r"\b(?:trees?|oaks?|forests?|woods)\b|树|樹|木の|森", _tree),
    "fish": (r"\b(?:fish|goldfish)\b|鱼|魚|さかな", _fish),
    "ship": (r"\b(?:ships?|boats?|sailboats?|sailing)\b|船|舟|ヨット", _ship),
    "flower": (r"\b(?:flowers?|ros(?:e|es)|tulips?|sunflowers?|blossoms?)\b|花|バラ", _flower),
    "mountain": (r"\b(?:mountains?|landscapes?|hills?|valleys?|peaks?)\b|山|风景|風景|景色", _mountain),
    "sun": (r"\b(?:sun|sunny|sunshine|sunrise|sunset)\b|太阳|太陽|日落|夕阳|夕焼け|夕日", _sun),
}
