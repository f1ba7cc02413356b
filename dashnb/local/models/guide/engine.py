"""The guide: an engine of rules that plays an assistant's part where no model is connected.

It does sums, calls the tools that a message speaks of with what stands in the message, and answers
from their outputs. Everything else it declines, and says what it is. The same turn always gives the
same pieces: there is no chance, no clock and no waiting in here.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator

from dashnb.local.arithmetic import Sum, find_sum
from dashnb.local.models.engine import CallPiece, Piece, Spent, TextPiece, Turn
from dashnb.local.models.guide import values
from dashnb.local.models.guide.answers import answer_calls, answer_sum
from dashnb.local.models.guide.language import argument_pieces, count_tokens, language_of, pieces_of
from dashnb.local.models.guide.phrases import say
from dashnb.local.models.guide.routing import Plan, name_of, plan
from dashnb.local.models.guide.sampler import SAMPLERS

_HELP = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|help|你好|您好|嗨|帮助"
    r"|こんにちは|こんばんは|おはよう(?:ございます)?|ヘルプ)\W*$"
    r"|\bwho are you\b|\bwhat are you\b|\bwhat can (?:you|i)\b|\bwhat do you do\b|\bintroduce yourself\b"
    r"|你是谁|您是谁|你能做什么|你会什么|介绍一下(?:你|您)|自我介绍|(?:あなた|君)は(?:誰|何)|誰ですか|何ができ|自己紹介|使い方",
    re.IGNORECASE,
)
_THANKS = re.compile(r"^\W*(?:thanks?|thank you|thx|谢谢|多谢|感谢|ありがとう)", re.IGNORECASE)
_RECALL = re.compile(
    r"\bwhat (?:did|have) i (?:just )?(?:ask|say|said|asked)|\bmy (?:last|previous|earlier|first) (?:question|message)"
    r"|我(?:之前|刚才|刚刚|前面).{0,80}(?:问|说)|(?:さっき|前に|これまで).{0,80}(?:聞|質問|言)",
    re.IGNORECASE,
)
_SAMPLE = re.compile(
    r"\b(?:tell|write|give|show)\b.{0,80}\b(?:story|stories|poem|essay|article|words|paragraphs?)\b"
    r"|\bmarkdown\b|\blong (?:text|answer)\b"
    r"|讲.{0,80}故事|写.{0,80}(?:故事|文章|作文|\d字)|长文|物語|お話を|長い(?:文章|答え)|\d\s*文字"
    r"|マークダウン",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"^(?:(?:and|then|now|so)\b,?\s*)?(?=times|plus|minus|divided|multiplied|[×÷*/+-])", re.IGNORECASE
)
_GOES_ON_CJK = re.compile(r"^(?:那|再|然后|それに|さらに|\s)*(?=[乘加减除×÷]|掛け|足)")
_AND_THERE = re.compile(
    r"\b(?:and|what about|how about|then|in|for|at)\b|那|呢|では|じゃあ|は|在|[\s,，、?？。.!！]", re.IGNORECASE
)
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?", re.ASCII)


class GuideEngine:
    """Answers by rules.

    >>> import asyncio
    >>> from dashnb.local.models.engine import Said
    >>> async def ask(text: str) -> str:
    ...     turn = Turn("guide", "", (), (Said("user", "Hi"), Said("assistant", "Hello!"), Said("user", text)))
    ...     return "".join([piece.text async for piece in GuideEngine().answer(turn) if isinstance(piece, TextPiece)])
    >>> asyncio.run(ask("What is 999 × 998?"))
    '999 multiplied by 998 equals 997002.'

    The first answer of a thread ends with a note that says what the guide is.
    """

    name = "guide"

    async def answer(self, turn: Turn) -> AsyncIterator[Piece]:
        """The pieces of an answer or of tool calls, and at the end the tokens by `count_tokens`."""
        written = 0
        for piece in _pieces(turn):
            written += count_tokens(piece.text if isinstance(piece, TextPiece) else piece.arguments)
            yield piece
        yield Spent(input_tokens(turn), written)


def input_tokens(turn: Turn) -> int:
    """The tokens that a turn puts in: instructions, tools, messages and the calls made so far.

    >>> from dashnb.local.models.engine import Said
    >>> input_tokens(Turn("guide", "Be kind.", (), (Said("user", "What is 999 × 998?"),)))
    8
    """
    texts = [turn.instructions, *(message.text for message in turn.messages)]
    texts += [json.dumps(tool, ensure_ascii=False) for tool in turn.tools]
    texts += [text for calls in turn.rounds for call in calls for text in (call.name, call.arguments, call.output)]
    return sum(map(count_tokens, texts))


def _pieces(turn: Turn) -> Iterator[TextPiece | CallPiece]:
    message = _message(turn)
    found = find_sum(message) or _continued_sum(turn, message)
    wanted = Plan() if _is_about_itself(message) and not found else plan(message, turn.tools, found)
    # One planned round after another: as many as are planned and no more, so nothing can go in circles.
    if len(turn.rounds) < len(wanted.rounds):
        for number, call in enumerate(wanted.rounds[len(turn.rounds)]):
            for text in argument_pieces(call.arguments):
                yield CallPiece(number, call.name, text)
        return
    for text in pieces_of(_with_note(turn, _text(turn, message, wanted, found))):
        yield TextPiece(text)


def _message(turn: Turn) -> str:
    """The message to answer; "And in Xi'an?" becomes the question before it, asked of Xi'an."""
    asked = _asked(turn)
    if not asked:
        return ""
    *earlier, last = asked
    last = last.strip()
    there = values.places(last)
    before = values.places(earlier[-1]) if earlier else []
    if len(there) == 1 and before and not _AND_THERE.sub("", last.replace(there[0], "")):
        return earlier[-1].replace(before[0], there[0])
    return last


def _asked(turn: Turn) -> list[str]:
    return [message.text for message in turn.messages if message.role == "user"]


def _continued_sum(turn: Turn, message: str) -> Sum | None:
    """The sum of "and times 2?": the last number of the last answer goes on."""
    answers = [said.text.partition("\n")[0] for said in turn.messages if said.role == "assistant"]
    if not answers or not (match := _GOES_ON.match(message) or _GOES_ON_CJK.match(message)):
        return None
    numbers = _NUMBER.findall(answers[-1])
    return find_sum(f"{numbers[-1]} {message[match.end() :]}") if numbers else None


def _is_about_itself(message: str) -> bool:
    """Whether the message is about the guide or the thread; such a question is not for a search."""
    return any(words.search(message) for words in (_HELP, _THANKS, _RECALL))


def _text(turn: Turn, message: str, wanted: Plan, found: Sum | None) -> str:
    language = language_of(message)
    calls = [call for made in turn.rounds for call in made]
    lacking = [
        say(language, "missing", name=one.name, parameters=", ".join(f"`{name}`" for name in one.parameters))
        for one in wanted.missing
    ]
    if calls:
        return "\n\n".join([answer_calls(language, calls, list(turn.tools), found), *lacking])
    if found:
        return answer_sum(language, found)
    return "\n\n".join(lacking) or _talk(turn, message)


def _talk(turn: Turn, message: str) -> str:
    language = language_of(message)
    if _RECALL.search(message):
        return _recalled(turn)
    if _HELP.search(message):
        return "\n\n".join([say(language, "hello"), say(language, "help"), _tools(turn)])
    if _THANKS.search(message):
        return say(language, "thanks")
    if _SAMPLE.search(message):
        return SAMPLERS[language].rstrip()
    # The note of a first answer says how to connect a model; later answers say it here.
    unknown = say(language, "unknown")
    return unknown if _is_first(turn) else f"{unknown}\n\n{say(language, 'connect')}"


def _recalled(turn: Turn) -> str:
    *earlier, last = _asked(turn)
    language = language_of(last)
    if not earlier:
        return say(language, "asked_nothing")
    lines = [f"{number}. {' '.join(text.split())}" for number, text in enumerate(earlier, 1)]
    return f"{say(language, 'asked')}\n\n" + "\n".join(lines)


def _tools(turn: Turn) -> str:
    language = language_of(_asked(turn)[-1])
    names = [f"`{name_of(tool)}`" for tool in turn.tools]
    return say(language, "tools", tools=say(language, "comma").join(names)) if names else say(language, "no_tools")


def _is_first(turn: Turn) -> bool:
    return all(message.role != "assistant" for message in turn.messages)


def _with_note(turn: Turn, text: str) -> str:
    if not _is_first(turn):
        return text
    asked = _asked(turn)
    return f"{text}\n\n{say(language_of(asked[-1] if asked else ''), 'note')}"
