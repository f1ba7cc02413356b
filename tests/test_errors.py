"""The exceptions: one tree, facts as attributes, and messages that say what to do."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from IPython.core.error import UsageError

from dashnb import errors
from dashnb.errors import (
    CODE_REMEDIES,
    STATUS_ERRORS,
    AccessDeniedError,
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DashnbError,
    NotFoundError,
    ProtocolError,
    RateLimitError,
    RunError,
    RunInterrupted,
    ServerError,
    StreamError,
    api_error,
)
from dashnb.magics.explanations import FOREWORDS, explain, foreword
from dashnb.protocol.state import RunState

CLASSES = {
    name: item
    for name, item in vars(errors).items()
    if inspect.isclass(item) and issubclass(item, BaseException) and item.__module__ == errors.__name__
}


def drawn_tree() -> dict[str, tuple[str, str]]:
    """The tree of the module's docstring: each name with its parent and what stands beside it."""
    tree: dict[str, tuple[str, str]] = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.fullmatch(r" {4}((?:│   |    )*(?:[├└]── )?)(\w+)(?: {2,}(.+))?", line):
            branch, name, beside = match.groups()
            depth = len(branch) // 4
            parents[depth:] = [name]
            tree[name] = (parents[depth - 1] if depth else "", beside or "")
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    parents = {name: next(base for base in item.__mro__[1:]) for name, item in CLASSES.items()}
    assert {name: parent for name, (parent, _) in drawn_tree().items()} == {
        name: parent.__name__ if issubclass(parent, DashnbError) else "" for name, parent in parents.items()
    }


def test_everything_in_the_tree_says_when_it_is_raised() -> None:
    assert [name for name, (_, beside) in drawn_tree().items() if not beside] == ["DashnbError"]
    assert [name for name, item in CLASSES.items() if not (item.__doc__ or "").strip()] == []


def test_all_are_exceptions_of_dashnb_and_shadow_no_builtin() -> None:
    import builtins

    assert [name for name, item in CLASSES.items() if not issubclass(item, DashnbError)] == []
    assert [name for name in CLASSES if hasattr(builtins, name)] == []


# --- statuses and codes --------------------------------------------------------------------------

BY_STATUS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AccessDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}
CODES = [
    *[(400, code) for code in ("InvalidParameter", "Arrearage", "DataInspectionFailed", "Throttling.AllocationQuota")],
    *[(400, code) for code in ("FlowNotPublished", "BadRequest.EmptyInput", "UnsupportedOperation")],
    *[(401, code) for code in ("InvalidApiKey", "NOT AUTHORIZED")],
    *[(403, code) for code in ("AccessDenied", "Model.AccessDenied", "AllocationQuota.FreeTierOnly")],
    *[(404, code) for code in ("ModelNotFound", "WorkSpaceNotFound", "NotFound")],
    (409, "Conflict"),
    *[(429, code) for code in ("Throttling", "Throttling.RateQuota", "Throttling.BurstRate")],
    *[(429, code) for code in ("Throttling.AllocationQuota", "CommodityNotPurchased", "PrepaidBillOverdue")],
    (429, "PostpaidBillOverdue"),
    *[(500, code) for code in ("InternalError", "SystemError", "RequestTimeOut", "RetrivalFailed")],
    *[(503, code) for code in ("ModelServingError", "ModelUnavailable")],
    *[(status, "DatabaseUnavailable") for status in (503, 507)],  # the embedded API's own: it passes, or does not
]


def test_each_documented_status_has_a_class_of_its_own() -> None:
    assert STATUS_ERRORS == BY_STATUS
    assert set(APIError.__subclasses__()) == {*BY_STATUS.values(), ServerError}


@pytest.mark.parametrize(("status", "code"), CODES)
def test_a_documented_error_has_its_class_its_facts_and_a_remedy(status: int, code: str) -> None:
    error = api_error(status, code=code, message="It went wrong.", request_id="r-1")
    assert type(error) is BY_STATUS.get(status, ServerError)
    facts = (error.status_code, error.code, error.message, error.request_id)
    assert facts == (status, code, "It went wrong.", "r-1")
    said, remedy = str(error).split("\n")
    assert said == f"HTTP {status} {code}: It went wrong. (request_id r-1)"
    assert remedy == error.remedy == CODE_REMEDIES.get(code, type(error).remedy)
    assert remedy.endswith((".", "…"))


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
def test_every_status_from_500_on_is_a_server_error(status: int) -> None:
    assert type(api_error(status, code="", message="")) is ServerError


@pytest.mark.parametrize("status", [0, 402, 405, 415, 422, 302])
def test_any_other_status_is_a_plain_api_error(status: int) -> None:
    assert type(api_error(status, code="x", message="m")) is APIError


def test_codes_with_a_remedy_of_their_own_are_documented_ones() -> None:
    assert set(CODE_REMEDIES) <= {code for _, code in CODES}


def test_a_quota_of_tokens_is_to_be_waited_for_whatever_its_status() -> None:
    assert "wait" in str(api_error(400, code="Throttling.AllocationQuota", message="m"))


def test_a_rate_limit_may_say_how_long_to_wait() -> None:
    error = api_error(429, code="Throttling", message="m")
    assert isinstance(error, RateLimitError)
    assert error.retry_after is None


# --- messages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"status_code": 404, "code": "NotFound", "message": "Not found!"}, "HTTP 404 NotFound: Not found!"),
        ({"message": "boom"}, "boom"),
        ({"message": "", "code": "SystemError"}, "SystemError"),
        ({"message": "", "status_code": 502}, "HTTP 502"),
        ({"message": ""}, "no reason was given"),
        ({"message": "one\n\ntwo\r\n\tthree ", "code": "c"}, "c: one two three"),
    ],
)
def test_a_message_is_one_line_of_facts_and_one_of_what_to_do(fields: dict[str, Any], said: str) -> None:
    error = APIError(**fields, remedy="Do this.")
    assert str(error) == f"{said}\nDo this."
    assert error.message == fields["message"]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_ipython_shows_the_lines_of_the_message_without_a_traceback(name: str) -> None:
    signature = inspect.signature(CLASSES[name].__init__)
    required = {"state": RunState()} if "state" in signature.parameters else {}
    error = CLASSES[name]("What happened.\nWhat to do.", **required)
    (shown,) = error._render_traceback_()
    assert shown == f"{name}: {error}"
    assert len(shown.splitlines()) <= 3


@pytest.mark.parametrize("name", sorted(CLASSES))
@pytest.mark.parametrize("language", ["zh", "ja"])
def test_every_error_has_words_of_its_own_for_readers_of_chinese_and_japanese(name: str, language: str) -> None:
    assert name in FOREWORDS
    said = FOREWORDS[name][language == "ja"]
    assert re.search("[\u3041-\u30ff]" if language == "ja" else "[\u4e00-\u9fff]", said)
    assert said.endswith("。")
    assert len(said) <= 120
    assert len({words[language == "ja"] for words in FOREWORDS.values()}) == len(FOREWORDS)


def test_no_words_are_kept_for_errors_that_are_gone() -> None:
    assert set(FOREWORDS) == set(CLASSES)


def test_words_in_the_language_of_the_reader_stand_above_the_message() -> None:
    error = errors.ConfigurationError("What happened.\nWhat to do.")
    explain(error, "ja")
    (shown,) = error._render_traceback_()
    assert shown == f"{FOREWORDS['ConfigurationError'][1]}\nConfigurationError: What happened.\nWhat to do."
    assert str(error) == "What happened.\nWhat to do."
    explain(error, "en")
    assert error._render_traceback_() == ["ConfigurationError: What happened.\nWhat to do."]


def test_an_error_of_a_part_is_explained_as_what_it_is_made_from() -> None:
    class Odd(errors.StoreError):
        pass

    assert foreword(Odd("m"), "zh") == FOREWORDS["StoreError"][0]


def test_a_wrong_use_is_explained_once() -> None:
    error = UsageError("no such option")
    explain(error, "zh")
    explain(error, "zh")
    assert str(error) == "用法错误：no such option"


def test_a_person_never_sees_more_than_ten_lines_of_an_error_with_notes() -> None:
    error = DashnbError("\n".join(map(str, range(30))))
    error.add_note("Did you mean it?")
    (shown,) = error._render_traceback_()
    assert len(shown.splitlines()) == errors.MOST_LINES == 10
    assert shown.endswith("…")


@pytest.mark.parametrize("kind", [ProtocolError, StreamError, RunError, RunInterrupted])
def test_what_ends_a_run_early_carries_what_had_arrived(kind: Any) -> None:
    state = RunState()
    assert kind("m", state=state).state is state


def test_facts_that_are_not_known_are_empty() -> None:
    assert ProtocolError("m").state is None
    error = StreamError("m")
    assert (error.state, error.code, error.request_id) == (None, "", "")
    assert RunError("m", state=RunState()).code == ""


def test_the_module_imports_nothing_of_dashnb() -> None:
    assert [name for name, item in vars(errors).items() if inspect.ismodule(item) and "dashnb" in item.__name__] == []


@pytest.mark.parametrize("language", ["en", "zh", "ja"])
def test_an_error_of_usage_shows_nothing_unseen_and_no_key(language: str) -> None:
    error = UsageError("the functions are not known here: add -t pay\x1b[2J\u202e, sk-0123456789abcdef0123456789")
    explain(error, language)
    explain(error, language)
    assert str(error).endswith("add -t pay⟨U+001B⟩[2J⟨U+202E⟩, ********")
