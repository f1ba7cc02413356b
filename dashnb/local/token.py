"""The token that requests to a port must carry, and the file that keeps it from one start to the next."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from dashnb.errors import ConfigurationError
from dashnb.keys import Secret

PREFIX = "sk-local-"
MOST_BYTES = 4096
_POSIX = os.name == "posix"


def new_token() -> str:
    """A random token.

    >>> new_token().startswith("sk-local-")
    True
    """
    return PREFIX + secrets.token_urlsafe(32)


def check_token(token: Secret, *, origin: str) -> None:
    """Refuse a token that a header cannot carry.

    Args:
        token: The token.
        origin: What it is called in the error, which does not show it.

    Raises:
        ConfigurationError: It is empty, or has blanks, control characters or characters beyond ASCII.
    """
    if not token:
        raise ConfigurationError(f"{origin} is empty; it must be a token.")
    if not re.fullmatch("[!-~]+", token.reveal()):
        raise ConfigurationError(f"{origin} has characters that a token cannot have: use ASCII without blanks.")


def keep_token(path: Path) -> tuple[str, bool]:
    """The token in a file that only its owner can read, and whether it was made just now.

    Raises:
        ConfigurationError: The file cannot be read or written, others can read it, or it holds no token.
    """
    try:
        made = not path.exists() and _make(path)
        token = _read(path)
        check_token(token, origin=f"The token file {path}")
        return token.reveal(), made
    except OSError as error:
        raise ConfigurationError(
            f"The token file {path} cannot be used: {error.strerror}.\nName another file with --token-file."
        ) from error


def _make(path: Path) -> bool:
    """Write a new token at once or not at all; False if another process was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_token() + "\n")
        with suppress(FileExistsError):
            os.link(draft, path)
            return True
        return False
    finally:
        draft.unlink()


def _read(path: Path) -> Secret:
    # Not to wait at a pipe that nobody writes to.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"The token file {path} is not a file.\nName another one with --token-file.")
        if _POSIX and found.st_mode & 0o077:
            raise ConfigurationError(
                f"The token file {path} can be used by other users (mode {stat.S_IMODE(found.st_mode):04o}).\n"
                f"Close it with chmod 600, or delete it for a new token."
            )
        if _POSIX and found.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(f"The token file {path} belongs to another user.\nName one of your own.")
        return Secret(file.read(MOST_BYTES).decode("ascii", errors="replace").strip())
