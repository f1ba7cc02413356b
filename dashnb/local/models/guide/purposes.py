"""What the built-in tools are for, in words, and what they are called with.

The documented argument of the search is ``query``; for the picture tool and the calculator only the
meaning of the arguments is documented, so ``prompt`` and ``expression`` are dashnb's own names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from dashnb.local.models.guide import values
from dashnb.local.models.guide.language import language_of

Found = tuple[tuple[dict[str, object], ...], tuple[str, ...]]

_SEARCH = (
    r"weather|forecast|\bnews\b|\bsearch\b|look (?:up|for)|find out|\blatest\b|天气|天気|气温|気温"
    r"|新闻|ニュース|搜索|搜一下|查一下|查找|检索|検索|調べ|最新"
)
_PICTURE = (
    r"\bdraw(?:ing of)?\b|\bpaint\b|\bsketch\b|\billustrat\w+|\b(?:picture|image|drawing|painting|photo) of\b"
    r"|画(?:一|个|幅|张|只|出|下|图|画|些|两|三)|(?:生成|制作).{0,12}(?:图|画)|描いて|描き|の絵|イラスト"
)
_CODE = r"\bpython\b|\bcode\b|\bscript\b|\bplot\b|代码|程序|コード|プログラム|```"
_DOCUMENTS = r"knowledge base|\bdocuments?\b|\bmanual\b|知识库|文档|资料|ナレッジ|資料|ドキュメント|マニュアル"
_PURPOSES: dict[str, re.Pattern[str]] = {
    name: re.compile(words, re.IGNORECASE)
    for name, words in {
        "quark_search": _SEARCH,
        "search": _SEARCH,
        "text_to_image": _PICTURE,
        "wanx": _PICTURE,
        "code_interpreter": _CODE,
        "generate_qrcode": r"\bqr[ -]?codes?\b|二维码|QRコード",
        "rag": _DOCUMENTS,
    }.items()
}
# First what finds something out, then what draws it, then what passes it on.
_ORDER = {"text_to_image": 1, "wanx": 1, "generate_qrcode": 2}

_QUESTION = re.compile(
    r"^\s*(?:who|what|when|where|which|why|how|is|are|does|did|tell me about|explain)\b|[?？]\s*$"
    r"|谁|什么|哪|何|怎么|如何|为什么|介绍|誰|いつ|どこ|なぜ|とは|教えて|ですか",
    re.IGNORECASE,
)


def order_of(kind: str) -> int:
    """Where a tool stands when one message asks for several.

    >>> sorted(["generate_qrcode", "text_to_image", "function"], key=order_of)
    ['function', 'text_to_image', 'generate_qrcode']
    """
    return _ORDER.get(kind, 0)


def places_of(kind: str, message: str) -> list[int]:
    """Where a message speaks of what a built-in tool is for.

    >>> places_of("text_to_image", "Please draw a cat"), places_of("text_to_image", "What is 2 × 2?")
    ([7], [])
    """
    purpose = _PURPOSES.get(kind)
    return [match.start() for match in purpose.finditer(message)] if purpose else []


def for_questions(message: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The tool that takes a question which names no tool: the own documents, else the search, else none.

    >>> for_questions("Who painted this?", [{"type": "text_to_image"}, {"type": "search"}])
    [{'type': 'search'}]
    """
    if _QUESTION.search(message):
        for kind in ("rag", "quark_search", "search"):
            for tool in tools:
                if tool.get("type") == kind:
                    return [tool]
    return []


def arguments_for(kind: str, message: str) -> Found:
    """The arguments of each call of a built-in tool, and what is missing for it.

    >>> arguments_for("quark_search", "What is the weather in Beijing today?")
    (({'query': 'weather in Beijing today'},), ())
    >>> arguments_for("generate_qrcode", "Make a QR code")
    ((), ('text',))
    """
    return _ARGUMENTS.get(kind, _search)(message)


_BEFORE = re.compile(
    r"^(?:please|can you|could you|would you|tell me|(?:what|who|where)(?:['’]s| is| are| was| were)|tell me about"
    r"|(?:search|look)(?: the web)?(?: for| up)?|find out(?: about)?"
    r"|check|get|give me|show me|explain|about|the|an?)\b\s*"
    r"|^(?:请问|请|帮我|告诉我|搜索一?下?|查一下|查询一?下?)[:：]?\s*",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"(?<![\s?？。.!！])[\s?？。.!！]++$|(?:怎么样|怎麼樣|如何|吗|呢|是什么|を教えてください|を教えて|について教えてください|について教えて|はどうですか"
    r"|は何ですか|を調べてください|を調べて|を検索してください|を検索して|は)$"
)


def query_of(message: str) -> str:
    """The message without the words that only ask.

    >>> query_of("今日の北京の天気は?"), query_of("请问今天北京天气怎么样？"), query_of("Who is Claude Monet?")
    ('今日の北京の天気', '今天北京天气', 'Claude Monet')
    """
    text, before = message.strip(), ""
    while text != before:
        before = text
        text = _AFTER.sub("", _BEFORE.sub("", text))
    return text or message.strip()


def _search(message: str) -> Found:
    return ({"query": _clause(message, _SEARCH)},), ()


def _rag(message: str) -> Found:
    return ({"query_word": message.strip()},), ()


_CLAUSE = re.compile(
    r"[,，。;；、]\s*|[?？!！]\s*(?=\S)|\.\s+|\b(?:and )?then\b"
    r"|\band (?=make|draw|paint|turn|give|create|generate)|然后|再|して(?=、)"
)


def _clause(message: str, words: str) -> str:
    """The part of a message with several wishes that these words belong to, without the asking."""
    clauses = [clause for clause in _CLAUSE.split(message) if clause and clause.strip()]
    chosen = next((clause for clause in clauses if re.search(words, clause, re.IGNORECASE)), message)
    return query_of(chosen if len(clauses) > 1 else message)


_DRAWING = re.compile(
    r"^.*?\b(?:draw|paint|sketch|illustrate|create|make|generate|show)\b(?:\s+(?:me|us))?\s*"
    r"|^(?:please\s+|a |an |the )*(?=(?:picture|image|drawing|painting|photo) of)",
    re.IGNORECASE,
)
_MEDIUM = re.compile(
    r"^(?:an?|the|some|\w+)?\s*(?:pictures?|images?|drawings?|paintings?|photos?|sketch(?:es)?) of\s+", re.IGNORECASE
)
_DRAWING_CJK = re.compile(
    r"^(?:请|帮我|给我|能不能|可以)*(?:画|生成|制作)(?:一|两|三|几)?(?:张|幅|个|只|些|下)?|(?:的)?(?:图片|图画|图像|画)$"
    r"|(?:の)?(?:絵|イラスト|画像)?を?(?:\d枚|[一二三四]枚)?(?:描いて|描き|作って|生成して)(?s:.*)$"
)
_STYLE = {
    "en": "{subject}, soft watercolour, gentle light, calm colours",
    "zh": "{subject}，柔和的水彩，温和的光线，安静的色调",
    "ja": "{subject}、やわらかな水彩、穏やかな光、落ち着いた色合い",
}
_IT = frozenset(("it", "that", "this", "", "它", "它的", "それ", "その"))
_COUNTS = {"two": 2, "three": 3, "four": 4, "两": 2, "三": 3, "四": 4, "2": 2, "3": 3, "4": 4, "二": 2}
_COUNT = re.compile(
    r"\b(two|three|four|[234])\s+(?:pictures|images|drawings|paintings|sketches)|([两三四234])[张幅]|([二三四234])枚"
)


def _picture(message: str) -> Found:
    arguments: dict[str, object] = {"prompt": prompt_of(message)}
    if match := _COUNT.search(message):
        arguments["n"] = _COUNTS[next(group for group in match.groups() if group)]
    return (arguments,), ()


def prompt_of(message: str) -> str:
    """A prompt for the picture: what is to be drawn, with words for its style.

    >>> prompt_of("Draw a picture of a ragdoll cat.")
    'a ragdoll cat, soft watercolour, gentle light, calm colours'
    >>> prompt_of("ラグドール猫の絵を描いてください。")
    'ラグドール猫、やわらかな水彩、穏やかな光、落ち着いた色合い'
    >>> prompt_of("画一只布偶猫")
    '布偶猫，柔和的水彩，温和的光线，安静的色调'
    """
    clauses = [clause.strip() for clause in _CLAUSE.split(message) if clause and clause.strip()]
    drawn = next((clause for clause in clauses if re.search(_PICTURE, clause, re.IGNORECASE)), message)
    text = drawn.strip(" .。!！?？")
    text = _MEDIUM.sub("", _DRAWING.sub("", text)) if language_of(text) == "en" else _DRAWING_CJK.sub("", text)
    if text.lower() in _IT:
        text = query_of(clauses[0]) if clauses and clauses[0] != drawn else "something"
    return _STYLE[language_of(message)].format(subject=text)


def _code(message: str) -> Found:
    match = re.search(r"```(?:\w+\n)?(.+?)```|`([^`]+)`", message, re.DOTALL)
    return (({"code": (match[1] or match[2]).strip()},), ()) if match else ((), ("code",))


def _first_wish(message: str) -> str:
    """What the first part of a message asks for, without the asking."""
    clauses = [clause for clause in _CLAUSE.split(message) if clause and clause.strip()]
    return query_of(clauses[0] if clauses else message)


_QR_CODE_OF = re.compile(r"\bqr[ -]?code (?:for|of|with|that says)\s+", re.IGNORECASE)


def _encoded(message: str) -> str:
    """What the last line says behind "QR code for"."""
    text = message.removesuffix("\n")
    last = text.rfind("\n") + 1
    said = next((text[match.end() :] for match in _QR_CODE_OF.finditer(text) if match.end() >= last), "")
    return said[:-1] if len(said) > 1 and said[-1] in ".?!" else said


def _qrcode(message: str) -> Found:
    content = [*values.urls(message), *values.quotations(message)]
    if said := _encoded(message):
        content.append(_first_wish(message) if said.lower() in _IT else said)
    return (({"text": content[0]},), ()) if content else ((), ("text",))


_ARGUMENTS: dict[str, Callable[[str], Found]] = {
    "text_to_image": _picture,
    "wanx": _picture,
    "code_interpreter": _code,
    "generate_qrcode": _qrcode,
    "rag": _rag,
    # A message without a sum has nothing for the calculator; one with a sum does not come here.
    "calculator": lambda message: ((), ("expression",)),
}
