"""Every exception that dashnb raises, in one tree.

    DashnbError
    ├── ConfigurationError          a setting is missing or makes no sense
    ├── InvalidArgument             an argument cannot be sent as it is
    ├── ToolDefinitionError         a Python function cannot be offered as a tool
    ├── ProtocolError               the server sent something that is not the Assistant API
    ├── ConnectionFailed            no answer: refused, timed out, broken off
    ├── APIError                    the server answered with an error
    │   ├── BadRequestError         400
    │   ├── AuthenticationError     401
    │   ├── AccessDeniedError       403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── RateLimitError          429
    │   └── ServerError             5xx
    ├── StreamError                 a stream broke off or carried an `error` event
    ├── RunError                    a run ended, but not with `completed`
    ├── AnswerMismatch              the answer does not fit the schema that was asked for
    ├── CassetteMismatch            what is replayed is not what was recorded
    ├── RunInterrupted              a person stopped the run
    ├── WaitTimeout                 a run did not end in the time it was given
    └── StoreError                  the database of the embedded API or of the ledger cannot be used

An error carries the facts as attributes; its message says what happened and what to do next, in at
most three lines. Neither holds a character that a terminal obeys or that nobody sees, a key or a password.
In a notebook or in IPython it is shown as those lines, without a traceback, below a line in the reader's
language where that is not English.

Sources: Assistant API reference, "Errors" (HTTP status and ``code``); "Run object" (``last_error``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

from dashnb.characters import in_line, visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from dashnb.protocol.state import RunState

E = TypeVar("E", bound=BaseException)

MOST_LINES = 10  # that a person sees of an error


class DashnbError(Exception):
    """Base class of everything that dashnb raises on purpose.

    >>> print(*ConfigurationError("The view 'loud' is not known.")._render_traceback_(), sep="\\n")
    ConfigurationError: The view 'loud' is not known.

    Attributes:
        foreword: What went wrong and what to do, in the reader's language; ``""`` for English, which the
            message itself is.
    """

    foreword = ""

    def __init__(self, *args: object) -> None:
        super().__init__(*(_sayable(arg) if isinstance(arg, str) else arg for arg in args))

    def _render_traceback_(self) -> list[str]:
        """The lines that IPython shows in place of a traceback, notes included."""
        notes = getattr(self, "__notes__", [])
        lines = "\n".join([self.foreword, f"{type(self).__name__}: {self}", *notes]).strip("\n").splitlines()
        shown = lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], "…"]
        return [_sayable("\n".join(shown))]

    def __copy__(self) -> DashnbError:
        return _made_again(type(self), self.args, self._facts())

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Callable[..., DashnbError], Any, Any]:
        """What pickling keeps: the arguments and all attributes, notes among them.

        An error that a worker process raises arrives whole. What cannot be sent, such as an open connection that
        somebody has put into it, stays behind as None.
        """
        args = self.args if _can_be_sent(self.args, protocol) else (str(self),)
        facts = self._facts()
        if not _can_be_sent(facts, protocol):
            facts = {name: value if _can_be_sent(value, protocol) else None for name, value in facts.items()}
        return _made_again, (type(self), args), facts

    def _facts(self) -> dict[str, Any]:
        state: Any = object.__getstate__(self)
        named, slots = state if isinstance(state, tuple) else (state, None)
        return {**(named or {}), **(slots or {})}


def _sayable(text: str) -> str:
    """What came from outside without what a terminal obeys, without keys and without passwords."""
    from dashnb.credentials import MASK, redacted  # only where something has gone wrong

    return redacted(visible(text), by=MASK)


def _made_again(kind: type[DashnbError], args: tuple[Any, ...], facts: dict[str, Any] | None = None) -> DashnbError:
    """An exception as it was; its class's own __init__ would explain again what it has explained already."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__setstate__(facts)
    return error


def _can_be_sent(value: object, protocol: SupportsIndex) -> bool:
    """Whether pickling gives the value back."""
    import io
    import pickle

    class Trial(pickle.Pickler):
        def reducer_override(self, found: object) -> Any:
            # An error inside looks after itself; it may even be the one that this is tried for.
            return (Exception, ()) if isinstance(found, DashnbError) else NotImplemented

    trial = io.BytesIO()
    try:
        Trial(trial, int(protocol)).dump(value)
        pickle.loads(trial.getvalue())
    except Exception:
        return False
    return True


class ConfigurationError(DashnbError):
    """A setting is missing, misspelt or contradicts another one; the message names where it came from."""


class InvalidArgument(DashnbError, ValueError):
    """An argument cannot be sent as it is, such as an empty id; nothing was sent."""


class ToolDefinitionError(DashnbError):
    """A Python function cannot be offered as a tool; the message names the parameter and the reason."""


class ProtocolError(DashnbError):
    """The server sent something that is not the Assistant API: HTML, cut JSON, an object without an id.

    Attributes:
        state: What had arrived before, when it happened in a stream.
    """

    def __init__(self, message: str, *, state: RunState | None = None) -> None:
        super().__init__(message)
        self.state = state


class ConnectionFailed(DashnbError):
    """No answer: the connection was refused, timed out or broke off before the answer was complete."""


class APIError(DashnbError):
    """The server answered with an error.

    Attributes:
        status_code: HTTP status, such as 404; 0 for an error inside a stream.
        code: The platform's code, such as ``InvalidApiKey``; ``""`` where the answer had none.
        message: The platform's own words.
        request_id: What the platform's support asks for; ``""`` where the answer had none.
    """

    remedy = "Check the request; the reference of the Assistant API lists the codes."

    def __init__(
        self, message: str, *, status_code: int = 0, code: str = "", request_id: str = "", remedy: str | None = None
    ) -> None:
        self.status_code = status_code
        self.code = in_line(_sayable(code))
        self.message = _sayable(message)
        self.request_id = in_line(_sayable(request_id))
        if remedy is not None:
            self.remedy = remedy
        super().__init__(self._explain())

    def _explain(self) -> str:
        status = f"HTTP {self.status_code}" if self.status_code else ""
        facts = " ".join(part for part in (status, self.code) if part)
        said = " ".join(self.message.split())  # a platform's message may have lines of its own
        reason = ": ".join(part for part in (facts, said) if part) or "no reason was given"
        request = f" (request_id {self.request_id})" if self.request_id else ""
        return f"{reason}{request}\n{self.remedy}"


class BadRequestError(APIError):
    """HTTP 400: the request is wrong, or its content was refused."""

    remedy = "Correct the named parameter and send the request again."


class AuthenticationError(APIError):
    """HTTP 401: the key is missing, wrong, or belongs to another region."""

    remedy = "Check DASHSCOPE_API_KEY and its region (cloud or cloud-intl), or work without a key: connect local."


class AccessDeniedError(APIError):
    """HTTP 403: the key is good but may not do this."""

    remedy = "Ask for access to the model or workspace in the Model Studio console, or choose another one."


class NotFoundError(APIError):
    """HTTP 404: the assistant, thread, message, run, step, model or workspace does not exist here."""

    remedy = "Check the id, and that it was made on the service you are connected to (%assistant status)."


class ConflictError(APIError):
    """HTTP 409: the object is busy or has changed."""

    remedy = "Wait until the other request has ended, then try again."


class RateLimitError(APIError):
    """HTTP 429: too many requests or tokens in a minute.

    Attributes:
        retry_after: Seconds the server asked to wait, or None.
    """

    remedy = "Wait a minute and try again; a run that was already made goes on by itself."
    retry_after: float | None = None


class ServerError(APIError):
    """HTTP 5xx: the service failed."""

    remedy = "Try again in a moment; if it stays, report the request_id."


class StreamError(DashnbError):
    """A stream of events broke off, or the server ended it with an ``error`` event.

    The run itself may go on at the server: ``client.runs.recover(error.state)`` reads its end.

    Attributes:
        state: Everything that had arrived: text, steps, ids.
        code: The code of the ``error`` event, ``""`` if the connection broke.
        request_id: The request id of the ``error`` event.
    """

    def __init__(self, message: str, *, state: RunState | None = None, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.code = in_line(_sayable(code))
        self.request_id = in_line(_sayable(request_id))


class RunError(DashnbError):
    """A run ended as ``failed``, ``expired``, ``cancelled`` or ``incomplete``.

    Attributes:
        state: The run as far as it came; its text and steps are kept.
        code: ``last_error.code`` of the run, ``""`` if it has none.
    """

    def __init__(self, message: str, *, state: RunState, code: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.code = in_line(_sayable(code))


class AnswerMismatch(DashnbError):
    """A run completed, but its answer does not fit the schema that was asked for; it is kept and shown.

    Attributes:
        state: The run, with the answer as it came.
    """

    def __init__(self, message: str, *, state: RunState) -> None:
        super().__init__(message)
        self.state = state


class CassetteMismatch(DashnbError):
    """A request, or a reader of an answer, went another way than when the cassette was recorded."""


class RunInterrupted(DashnbError):
    """A person stopped the run: reading ended, the run was cancelled or left behind, what arrived is kept.

    Attributes:
        state: The run as far as it came.
    """

    def __init__(self, message: str, *, state: RunState) -> None:
        super().__init__(message)
        self.state = state


class WaitTimeout(DashnbError):
    """A run did not end in the time it was given. The run goes on; wait again with its id."""


class StoreError(DashnbError):
    """The database of the embedded API or of the ledger cannot be used; it is left as it was.

    Attributes:
        passes: True if nothing is wrong with it: another process is writing, and will be done.
    """

    passes = False


def bare(error: E) -> E:
    """The error, and those behind it, without the frames that they came through: variables there hold keys.

    >>> bare(ValueError("x")).__traceback__ is None
    True
    """
    for one in chain(error):
        one.__traceback__ = None
    return error


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it, each once.

    >>> error = ValueError("x")
    >>> error.__cause__ = OSError("y")
    >>> [type(one).__name__ for one in chain(error)]
    ['ValueError', 'OSError']
    """
    behind: BaseException | None = error
    known: set[int] = set()
    while behind is not None and id(behind) not in known:
        known.add(id(behind))
        yield behind
        behind = behind.__cause__ or behind.__context__


# One table for both directions: the client raises these classes, the embedded API sends these statuses.
STATUS_ERRORS: dict[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: AccessDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitError,
}

# Codes whose cause is not what their status says, with what a person can do.
CODE_REMEDIES: dict[str, str] = {
    "Arrearage": "Settle the account in the Alibaba Cloud console, or connect local to go on without it.",
    "DataInspectionFailed": "The content inspection refused the text; word it differently.",
    "NOT AUTHORIZED": "Name a workspace that the key may use: DASHSCOPE_WORKSPACE or workspace=….",
    "WorkSpaceNotFound": "Check the workspace id in DASHSCOPE_WORKSPACE or workspace=….",
    "Throttling.AllocationQuota": "The quota of tokens is used up for now; wait a minute and try again.",
    "ModelNotFound": "Choose a model that this service offers; some have been withdrawn.",
    "AllocationQuota.FreeTierOnly": "The free quota is used up; allow paid use in the console.",
    "CommodityNotPurchased": "Activate Model Studio in the console, then try again.",
    "DatabaseUnavailable": "Nothing of this request was kept, and nothing is lost; dashnb doctor says what is wrong.",
    "PrepaidBillOverdue": "Settle the bill in the Alibaba Cloud console.",
    "PostpaidBillOverdue": "Settle the bill in the Alibaba Cloud console.",
}


def api_error(status_code: int, *, code: str, message: str, request_id: str = "") -> APIError:
    """The exception for an error answer, by its HTTP status and platform code.

    >>> error = api_error(401, code="InvalidApiKey", message="Invalid API-key provided.", request_id="r-1")
    >>> type(error).__name__, error.status_code, error.code
    ('AuthenticationError', 401, 'InvalidApiKey')
    """
    kind = STATUS_ERRORS.get(status_code) or (ServerError if status_code >= 500 else APIError)
    return kind(message, status_code=status_code, code=code, request_id=request_id, remedy=CODE_REMEDIES.get(code))
