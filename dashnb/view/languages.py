"""The words around an answer in the reader's language: English, Chinese or Japanese.

English sentences are the keys, so that code reads as what it says; a test finds every sentence that is
said and asks for its translations.
"""

from __future__ import annotations

from collections.abc import Mapping

LANGUAGES = ("en", "zh", "ja")

# English -> Chinese, Japanese
SENTENCES: dict[str, tuple[str, str]] = {
    # who answers, and how far it is
    "Assistant": ("助手", "アシスタント"),
    "no answer": ("没有回答", "回答なし"),
    "completed": ("已完成", "完了"),
    "waits for you": ("等待您的操作", "操作待ち"),
    "not finished": ("未完成", "未完了"),
    "failed": ("失败", "失敗"),
    "cancelled": ("已取消", "キャンセル済み"),
    "cancelling": ("正在取消", "キャンセル中"),
    "expired": ("已超时", "期限切れ"),
    "incomplete": ("不完整", "不完全"),
    "abandoned": ("已停止读取", "読み取り中止"),
    "guide · rules, no language model": (
        "guide · 基于规则，不是语言模型",
        "guide · 規則による応答、言語モデルではありません",
    ),
    "SmolLM2-135M · a very small model, answers are for show": (
        "SmolLM2-135M · 极小的模型，回答仅供演示",
        "SmolLM2-135M · ごく小さなモデル、回答はデモ用です",
    ),
    "openai · language model": ("openai · 语言模型", "openai · 言語モデル"),
    "qwen · language model in the cloud, Beijing": ("qwen · 云端语言模型，北京", "qwen · クラウドの言語モデル、北京"),
    "qwen-intl · language model in the cloud, Singapore": (
        "qwen-intl · 云端语言模型，新加坡",
        "qwen-intl · クラウドの言語モデル、シンガポール",
    ),
    "ollama · language model": ("ollama · 语言模型", "ollama · 言語モデル"),
    "vllm · language model": ("vllm · 语言模型", "vllm · 言語モデル"),
    "llamacpp · language model": ("llamacpp · 语言模型", "llamacpp · 言語モデル"),
    # what goes on
    "{name} is working …": ("{name}正在处理…", "{name}が処理しています…"),
    "{name} is thinking …": ("{name}正在思考…", "{name}が考えています…"),
    "writing …": ("正在书写…", "回答を書いています…"),
    "stopping …": ("正在停止…", "停止しています…"),
    "calling {names} …": ("正在调用 {names}…", "{names} を呼び出しています…"),
    "{names} is running …": ("{names} 正在运行…", "{names} を実行しています…"),
    "{names} are running …": ("{names} 正在运行…", "{names} を実行しています…"),
    "fetching {n} picture …": ("正在获取 {n} 张图片…", "画像を {n} 枚取得しています…"),
    "fetching {n} pictures …": ("正在获取 {n} 张图片…", "画像を {n} 枚取得しています…"),
    "a tool": ("工具", "ツール"),
    "a function": ("函数", "関数"),
    # steps and calls
    "Steps": ("步骤", "ステップ"),
    "answer": ("回答", "回答"),
    "tool": ("工具", "ツール"),
    "Reasoning": ("思考过程", "思考過程"),
    "Arguments": ("参数", "引数"),
    "Code": ("代码", "コード"),
    "Output": ("输出", "出力"),
    "Traceback, for you only": ("错误回溯，仅您可见", "トレースバック（表示はあなたにのみ）"),
    "running …": ("运行中…", "実行中…"),
    "waits for its output": ("等待输出", "出力待ち"),
    "no results": ("没有结果", "結果なし"),
    "{n} result": ("{n} 条结果", "{n} 件の結果"),
    "{n} results": ("{n} 条结果", "{n} 件の結果"),
    "{n} picture": ("{n} 张图片", "画像 {n} 枚"),
    "{n} pictures": ("{n} 张图片", "画像 {n} 枚"),
    "… {n} more": ("… 另有 {n} 条", "… 他 {n} 件"),
    "{n} more character": ("另有 {n} 个字符", "他 {n} 文字"),
    "{n} more characters": ("另有 {n} 个字符", "他 {n} 文字"),
    "… {n} more characters": ("… 另有 {n} 个字符", "… 他 {n} 文字"),
    "a picture": ("图片", "画像"),
    # how it ended
    "The run failed": ("运行失败", "実行に失敗しました"),
    "The run took too long and expired": ("运行时间过长，已超时", "実行に時間がかかりすぎ、期限切れになりました"),
    "The answer is incomplete: the run ended before the model had finished": (
        "回答不完整：运行在模型完成之前就结束了",
        "回答は不完全です：モデルが書き終える前に実行が終了しました",
    ),
    "The run was cancelled": ("运行已取消", "実行はキャンセルされました"),
    "The run is being cancelled": ("正在取消运行", "実行をキャンセルしています"),
    "Reading was stopped; the run may go on at the service": (
        "已停止读取；运行可能仍在服务端继续",
        "読み取りを中止しました。実行はサービス側で続いている可能性があります",
    ),
    "No answer arrived": ("没有收到回答", "回答は届きませんでした"),
    "Reading ended before the run did": ("读取在运行结束之前中断了", "実行が終わる前に読み取りが終了しました"),
    "What had arrived is shown.": ("已显示收到的部分。", "届いた分を表示しています。"),
    "The run waits for the output of {names}. Go on with %assistant continue.": (
        "运行正在等待 {names} 的输出。用 %assistant continue 继续。",
        "実行は {names} の出力を待っています。%assistant continue で続けられます。",
    ),
    "no reason given": ("未说明原因", "理由は示されていません"),
    "{sentence}: {reason}": ("{sentence}：{reason}", "{sentence}：{reason}"),
    "{sentence}.": ("{sentence}。", "{sentence}。"),
    # accounts
    "{n} tokens in": ("输入 {n} 个 token", "入力 {n} トークン"),
    "{n} out": ("输出 {n} 个", "出力 {n}"),
    "{n} in total": ("共 {n} 个", "合計 {n}"),
    "first text after {time}": ("首字用时 {time}", "最初の文字まで {time}"),
    "{n} tokens/s": ("每秒 {n} 个 token", "{n} トークン/秒"),
    # controls
    "Stop": ("停止", "停止"),
    "Stopping …": ("正在停止…", "停止しています…"),
    "Stop did not get through: use the stop button of the toolbar.": (
        "停止请求未能送达：请使用工具栏的停止按钮。",
        "停止を伝えられませんでした。ツールバーの停止ボタンを使ってください。",
    ),
    "Approve": ("批准", "承認"),
    "Deny": ("拒绝", "拒否"),
    "Why not? The model reads it.": ("为什么？模型会读到。", "理由（モデルが読みます）"),
    "The kernel does not answer: go on with %assistant continue.": (
        "内核没有响应：请用 %assistant continue 继续。",
        "カーネルが応答しません。%assistant continue で続けてください。",
    ),
    "Answer of {name}": ("{name}的回答", "{name}の回答"),
    "This front end shows no live view: the answer is shown when it is complete.": (
        "此前端不支持实时视图：回答完成后显示。",
        "このフロントエンドはライブ表示に対応していません。回答は完成後に表示されます。",
    ),
}


def translate(sentence: str, language: str, /, **values: object) -> str:
    """The sentence in a language, with its values filled in.

    >>> translate("{n} results", "zh", n=3), translate("{n} results", "en", n=3)
    ('3 条结果', '3 results')

    Args:
        sentence: English; one without a translation stays as it is.
        language: ``en``, ``zh`` or ``ja``.
        values: What stands for the names in braces.
    """
    chinese, japanese = SENTENCES.get(sentence, (sentence, sentence))
    chosen = {"zh": chinese, "ja": japanese}.get(language, sentence)
    return chosen.format(**values) if values else chosen


def choose_language(requested: str, environ: Mapping[str, str]) -> str:
    """The language to use: the requested one, or that of the locale, or English.

    >>> choose_language("auto", {"LANG": "ja_JP.UTF-8"}), choose_language("zh", {})
    ('ja', 'zh')

    Args:
        requested: ``auto`` or one of `LANGUAGES`.
        environ: The environment; ``LC_ALL`` outranks ``LC_MESSAGES`` outranks ``LANG``.
    """
    if requested in LANGUAGES:
        return requested
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "")
    return next((language for language in LANGUAGES if locale.lower().startswith(language)), "en")
