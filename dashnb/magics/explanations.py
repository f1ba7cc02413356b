"""Errors in the reader's language: what kind it is and what to do, above the message as it came."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from dashnb.characters import visible
from dashnb.credentials import MASK, redacted
from dashnb.errors import APIError, DashnbError, RunError, RunInterrupted
from dashnb.magics.arguments import near
from dashnb.magics.names import KNOWN_MODELS
from dashnb.protocol.state import RunState

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# By the class's name: Chinese, Japanese. A class that is not here is explained as the one it is made from.
FOREWORDS: dict[str, tuple[str, str]] = {
    "DashnbError": ("出错了：请按下面的说明处理。", "エラーが発生しました。下の説明に従ってください。"),
    "ConfigurationError": (
        "配置错误：某项设置缺失、写错或互相矛盾，请改正后重试。",
        "設定の誤り：設定が足りないか、間違っているか、矛盾しています。直してからもう一度実行してください。",
    ),
    "InvalidArgument": (
        "参数无效：请求没有发送，请改正参数后重试。",
        "引数が無効です：何も送信していません。引数を直してからもう一度実行してください。",
    ),
    "ToolDefinitionError": (
        "工具定义有误：该函数不能作为工具，请检查名称、参数类型和注解。",
        "ツールの定義の誤り：この関数はツールにできません。名前と引数の型を確認してください。",
    ),
    "ProtocolError": (
        "收到的内容不符合 Assistant API：请检查服务地址，以及中间是否有代理。",
        "Assistant API ではない応答が届きました：サービスのアドレスとプロキシを確認してください。",
    ),
    "ConnectionFailed": (
        "连接失败：没有收到完整的回答，请检查网络和服务地址后重试。",
        "接続に失敗しました：応答が届きませんでした。ネットワークとアドレスを確認してください。",
    ),
    "APIError": (
        "服务返回了错误：请按错误代码检查请求。",
        "サービスがエラーを返しました：エラーコードを見てリクエストを確認してください。",
    ),
    "BadRequestError": (
        "请求有误，或内容未通过检查：请改正指出的参数后重新发送。",
        "リクエストに誤りがあるか、内容が拒否されました：示された引数を直して送り直してください。",
    ),
    "AuthenticationError": (
        "身份验证失败：请检查 DASHSCOPE_API_KEY 及其地域；没有密钥时可用 %assistant connect local。",
        "認証に失敗しました：DASHSCOPE_API_KEY とそのリージョンを確認してください。"
        "キーがなければ %assistant connect local を使えます。",
    ),
    "AccessDeniedError": (
        "没有权限：请在百炼控制台申请该模型或业务空间的权限，或换一个。",
        "権限がありません：Model Studio のコンソールで権限を申請するか、別のモデルを選んでください。",
    ),
    "NotFoundError": (
        "找不到对象：请检查 ID，并用 %assistant status 确认所连接的服务。",
        "見つかりません：ID と、接続先のサービス（%assistant status）を確認してください。",
    ),
    "ConflictError": (
        "对象正忙或已被修改：请等另一个请求结束后重试。",
        "対象が使用中か、変更されています：ほかのリクエストが終わってからもう一度実行してください。",
    ),
    "RateLimitError": (
        "请求过于频繁或额度用尽：请等一分钟再试。",
        "リクエストが多すぎるか、割り当てを使い切りました：1 分ほど待ってからもう一度実行してください。",
    ),
    "ServerError": (
        "服务端故障：请稍后重试；若持续出现，请提供 request_id。",
        "サービス側の障害です：少し待ってからもう一度実行し、続く場合は request_id を伝えてください。",
    ),
    "StreamError": (
        "数据流中断：已收到的内容已保留，运行可能仍在服务端继续。",
        "ストリームが途切れました：届いた分は残っています。実行はサービス側で続いている可能性があります。",
    ),
    "RunError": (
        "运行没有正常完成：已收到的内容已保留，可以再问一次。",
        "実行が正常に完了しませんでした：届いた分は残っています。もう一度質問できます。",
    ),
    "AnswerMismatch": (
        "回答不符合所要求的格式：回答已保留，可以再问一次，或修改 schema。",
        "回答が指定の形式に合いません：回答は残っています。もう一度質問するか、スキーマを見直してください。",
    ),
    "CassetteMismatch": (
        "与录制的内容不符：请按录制时的顺序运行相同的单元格，或重新录制。",
        "記録と一致しません：記録したときと同じセルを同じ順に実行するか、記録し直してください。",
    ),
    "RunInterrupted": (
        "已停止：收到的内容已保留。",
        "停止しました：届いた分は残っています。",
    ),
    "WaitTimeout": (
        "等待超时：运行仍在继续，可以用它的 ID 继续等待。",
        "待ち時間が過ぎました：実行は続いています。ID を使ってまた待つことができます。",
    ),
    "StoreError": (
        "数据库无法使用：它保持原样，请检查文件和权限。",
        "データベースを使えません：そのまま残してあります。ファイルと権限を確認してください。",
    ),
}
USAGE = {"zh": "用法错误：", "ja": "使い方の誤り："}


def foreword(error: DashnbError, language: str) -> str:
    """What to say above an error, ``""`` in English.

    >>> from dashnb.errors import ConflictError
    >>> foreword(ConflictError("busy"), "zh"), foreword(ConflictError("busy"), "en")
    ('对象正忙或已被修改：请等另一个请求结束后重试。', '')

    Args:
        error: The error.
        language: ``en``, ``zh`` or ``ja``.
    """
    known = next(FOREWORDS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in FOREWORDS)
    return {"zh": known[0], "ja": known[1]}.get(language, "")


def explain(error: DashnbError | UsageError, language: str) -> None:
    """Make an error speak to its reader; one that does so already stays as it is."""
    if isinstance(error, DashnbError):
        error.foreword = foreword(error, language)
        return
    # It may name what a service or a file calls itself.
    said = redacted(visible(str(error)), by=MASK)
    begun = said.startswith(USAGE.get(language, ""))
    error.args = (said if begun else USAGE[language] + said,)


def show_whole(error: DashnbError, shell: InteractiveShell) -> None:
    """Make IPython show an error with its traceback, as it shows any other one."""

    def whole() -> list[str]:
        kind, tb = type(error), error.__traceback__
        try:
            lines: list[str] = shell.InteractiveTB.structured_traceback(kind, error, tb, tb_offset=1)
        except Exception:  # whatever keeps IPython from reading the source must not hide the error
            lines = traceback.format_exception(kind, error, tb)
        return lines

    error._render_traceback_ = whole  # type: ignore[method-assign] # for this one error only


@contextmanager
def explained(
    shell: InteractiveShell, language: Callable[[], str], *, debug: bool = False
) -> Generator[None, None, None]:
    """What is raised inside, explained to a reader; an interrupt, too, is said in a line.

    Args:
        shell: Where it will be shown.
        language: Says ``en``, ``zh`` or ``ja``; only asked if something is raised.
        debug: True to show the whole traceback.
    """
    try:
        try:
            yield
        except KeyboardInterrupt as interrupt:
            said = "Stopped.\nWhat arrived is kept; run the cell again to go on."
            raise RunInterrupted(said, state=RunState()) from (interrupt if debug else None)
    except (DashnbError, UsageError) as error:
        explain(error, language())
        if debug and isinstance(error, DashnbError):
            show_whole(error, shell)
        raise


def hint_model(error: APIError | RunError, model: str | None) -> None:
    """Add to an error about a model which one may have been meant.

    >>> from dashnb.errors import NotFoundError
    >>> error = NotFoundError("no such model", status_code=404, code="ModelNotFound")
    >>> hint_model(error, "qwen-plsu")
    >>> error.__notes__
    ['Did you mean qwen-plus?']
    """
    about = f"{error.code} {error}".lower()
    if not model or "model" not in about or getattr(error, "status_code", 404) not in (400, 404):
        return
    if model not in KNOWN_MODELS and (hint := near(model, KNOWN_MODELS)):
        error.add_note(hint.strip())
