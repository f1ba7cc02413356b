"""What the guide says, in each of its languages: one table, the same keys for all."""

from __future__ import annotations

from dashnb.local.models.guide.language import Language

_EN = {
    "note": "*This answer comes from dashnb's built-in guide, which follows rules; no language model took part. "
    "To talk to a real one, set `DASHSCOPE_API_KEY` and run `%assistant connect cloud`.*",
    "connect": "To talk to a real language model, set `DASHSCOPE_API_KEY` and run `%assistant connect cloud`.",
    "unknown": "I cannot answer that. I am dashnb's built-in guide: I follow rules and know nothing of the world. "
    "What I can show: sums, the tools of an assistant (Python functions, `quark_search`, `text_to_image`, "
    "`calculator`) and a long text to watch a stream. Say “help” for examples.",
    "hello": "Hello! I am dashnb's built-in guide. I follow rules and am no language model, but I show how an "
    "assistant works. Try one of these:",
    "help": "- “What is 999 × 998?”: sums, exactly\n"
    "- “What is the weather in Beijing today?”: with the tool `quark_search`, or with a function of yours\n"
    "- “Draw a picture of a ragdoll cat.”: with the tool `text_to_image`\n"
    "- “Tell me a story”: a longer text with Markdown, to watch a stream\n"
    "- “What did I ask before?”: what this thread holds",
    "tools": "The tools of this assistant: {tools}.",
    "no_tools": "This assistant has no tools.",
    "thanks": "You are welcome.",
    "asked": "Before this, you said:",
    "asked_nothing": "This is the first message of this thread.",
    "add": "{left} plus {right} {equals}.",
    "subtract": "{left} minus {right} {equals}.",
    "multiply": "{left} multiplied by {right} {equals}.",
    "divide": "{left} divided by {right} {equals}.",
    "power": "{left} to the power of {right} {equals}.",
    "formula": "{formula} {equals}.",
    "equals": "equals {number}",
    "about": "≈ {number}",
    "sum_failed": "{formula} has no result: {reason}",
    "missing": "I would call `{name}`, but your message does not say: {parameters}.",
    "weather": "The current weather in {place} is {output}.",
    "result": "The result of `{name}` is: {output}",
    "result_end": ".",
    "returned": "`{name}` returned:",
    "nothing": "`{name}` returned nothing.",
    "failed": "`{name}` could not do it: {reason}",
    "picture": "Here is the picture you asked for: {prompt}. It is a sketch, drawn by dashnb's embedded tool.",
    "pictures": "Here are {count} pictures: {prompt}. They are sketches, drawn by dashnb's embedded tool.",
    "no_picture": "The picture tool drew nothing.",
    "qrcode": "Here is the QR code for {text}.",
    "source": " (Source: {source})",
    "from_search": "The search found “{title}”: ",
    "further": "It also found: {titles}.",
    "not_found": "The search for “{query}” found nothing, and I know nothing about it myself.",
    "quote_open": "“",
    "quote_close": "”",
    "comma": ", ",
}

_ZH = {
    "note": "*以上由 dashnb 内置的向导按规则作答，没有语言模型参与。要与真正的模型对话，请设置 `DASHSCOPE_API_KEY` "
    "并执行 `%assistant connect cloud`。*",
    "connect": "要与真正的语言模型对话，请设置 `DASHSCOPE_API_KEY` 并执行 `%assistant connect cloud`。",
    "unknown": "这个问题我答不了。我是 dashnb 内置的向导，只按规则作答，并不了解世界。我能演示的有：算术、"
    "助手的工具（Python 函数、`quark_search`、`text_to_image`、`calculator`），"
    "以及用来观看流式输出的长文本。输入“帮助”可看示例。",
    "hello": "您好！我是 dashnb 内置的向导。我按规则作答，不是语言模型，但可以演示助手的工作方式。不妨试试：",
    "help": "- “999乘以998等于多少”：精确的算术\n"
    "- “今天北京天气怎么样”：需要工具 `quark_search`，或您自己的函数\n"
    "- “画一只布偶猫”：需要工具 `text_to_image`\n"
    "- “讲个故事”：一段带 Markdown 的长文本，用来观看流式输出\n"
    "- “我之前问了什么”：这个线程里有什么",
    "tools": "这个助手的工具：{tools}。",
    "no_tools": "这个助手没有工具。",
    "thanks": "不客气。",
    "asked": "在此之前，您说过：",
    "asked_nothing": "这是本线程的第一条消息。",
    "add": "{left} 加 {right} {equals}。",
    "subtract": "{left} 减 {right} {equals}。",
    "multiply": "{left} 乘以 {right} {equals}。",
    "divide": "{left} 除以 {right} {equals}。",
    "power": "{left} 的 {right} 次方{equals}。",
    "formula": "{formula} {equals}。",
    "equals": "等于 {number}",
    "about": "≈ {number}",
    "sum_failed": "{formula} 没有结果：{reason}",
    "missing": "我本想调用 `{name}`，但您的消息里没有说明：{parameters}。",
    "weather": "{place}现在的天气是{output}。",
    "result": "`{name}` 的结果是：{output}",
    "result_end": "。",
    "returned": "`{name}` 返回：",
    "nothing": "`{name}` 没有返回内容。",
    "failed": "`{name}` 没有成功：{reason}",
    "picture": "这是您要的图：{prompt}。它是 dashnb 内置工具画的草图。",
    "pictures": "这是 {count} 张图：{prompt}。它们是 dashnb 内置工具画的草图。",
    "no_picture": "绘图工具没有画出图片。",
    "qrcode": "这是 {text} 的二维码。",
    "source": "（来源：{source}）",
    "from_search": "搜索找到了“{title}”：",
    "further": "另外还找到：{titles}。",
    "not_found": "搜索“{query}”没有找到结果，我自己也不了解。",
    "quote_open": "“",
    "quote_close": "”",
    "comma": "、",
}

_JA = {
    "note": "*この答えは dashnb 組み込みのガイドが規則に従って作りました。言語モデルは使っていません。"
    "本物のモデルと話すには、`DASHSCOPE_API_KEY` を設定して `%assistant connect cloud` を実行してください。*",
    "connect": "本物の言語モデルと話すには、"
    "`DASHSCOPE_API_KEY` を設定して `%assistant connect cloud` を実行してください。",
    "unknown": "それには答えられません。私は dashnb 組み込みのガイドで、規則に従うだけで、世の中の知識は"
    "ありません。お見せできるのは、"
    "計算、アシスタントのツール(Python の関数、`quark_search`、`text_to_image`、`calculator`)、"
    "ストリームを眺めるための長い文章です。「ヘルプ」と書くと例が出ます。",
    "hello": "こんにちは。dashnb 組み込みのガイドです。規則に従って答えるもので、言語モデルではありませんが、"
    "アシスタントの働きをお見せできます。たとえば:",
    "help": "- 「999 に 998 を掛けると?」: 正確な計算\n"
    "- 「今日の北京の天気は?」: ツール `quark_search`、またはご自分の関数で\n"
    "- 「ラグドール猫の絵を描いてください。」: ツール `text_to_image` で\n"
    "- 「物語を聞かせて」: ストリームを眺めるための、Markdown の長い文章\n"
    "- 「さっき何を聞いた?」: このスレッドの内容",
    "tools": "このアシスタントのツール: {tools}。",
    "no_tools": "このアシスタントにはツールがありません。",
    "thanks": "どういたしまして。",
    "asked": "これまでのご発言:",
    "asked_nothing": "これがこのスレッドの最初のメッセージです。",
    "add": "{left} に {right} を足すと {equals}。",
    "subtract": "{left} から {right} を引くと {equals}。",
    "multiply": "{left} に {right} を掛けると {equals}。",
    "divide": "{left} を {right} で割ると {equals}。",
    "power": "{left} の {right} 乗は {equals}。",
    "formula": "{formula} は {equals}。",
    "equals": "{number} になります",
    "about": "≈ {number} になります",
    "sum_failed": "{formula} には答えがありません: {reason}",
    "missing": "`{name}` を呼びたいのですが、次のことがメッセージにありません: {parameters}。",
    "weather": "{place}の現在の天気は{output}です。",
    "result": "`{name}` の結果: {output}",
    "result_end": "。",
    "returned": "`{name}` の結果:",
    "nothing": "`{name}` は何も返しませんでした。",
    "failed": "`{name}` はうまくいきませんでした: {reason}",
    "picture": "ご希望の絵です: {prompt}。dashnb の組み込みツールが描いたスケッチです。",
    "pictures": "絵を {count} 枚描きました: {prompt}。dashnb の組み込みツールが描いたスケッチです。",
    "no_picture": "絵のツールは何も描きませんでした。",
    "qrcode": "{text} の QR コードです。",
    "source": "(出典: {source})",
    "from_search": "検索で「{title}」が見つかりました: ",
    "further": "ほかに見つかったもの: {titles}。",
    "not_found": "「{query}」を検索しましたが、何も見つかりませんでした。私自身も知りません。",
    "quote_open": "「",
    "quote_close": "」",
    "comma": "、",
}

PHRASES: dict[Language, dict[str, str]] = {"en": _EN, "zh": _ZH, "ja": _JA}

# A function may answer with a bare English word for the sky; the sentence around it is in another language.
SKIES: dict[Language, dict[str, str]] = {
    "en": {},
    "zh": {"rain": "雨", "rainy": "雨", "sunny": "晴", "clear": "晴", "cloudy": "多云", "snow": "雪", "windy": "有风"},
    "ja": {
        "rain": "雨",
        "rainy": "雨",
        "sunny": "晴れ",
        "clear": "晴れ",
        "cloudy": "曇り",
        "snow": "雪",
        "windy": "強風",
    },
}


def say(language: Language, key: str, **values: object) -> str:
    """A phrase in a language, with its values.

    >>> say("en", "no_tools"), say("ja", "add", left="1", right="2", equals="3 になります")
    ('This assistant has no tools.', '1 に 2 を足すと 3 になります。')
    """
    return PHRASES[language][key].format(**values)
