"""Where a database is: a file, a place in memory, or a server; and what it is called to a person."""

from __future__ import annotations

import os

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, SQLAlchemyError

from dashnb.credentials import redacted
from dashnb.database import MEMORY, DatabaseFile, Usage
from dashnb.errors import StoreError, bare

USAGE = Usage("The database", "name another one with DASHNB_DATABASE")


def file_of(database: str) -> DatabaseFile | None:
    """The file of a database, or a place in memory; None for a server.

    Args:
        database: A file, ``:memory:``, or a database URL.

    Raises:
        StoreError: It is a URL that makes no sense.
    """
    if "://" not in database:
        return DatabaseFile(os.path.expanduser(database), USAGE)
    try:
        url = sa.make_url(database)
    except SQLAlchemyError as error:
        raise unusable(shown(database), error) from None
    if url.get_backend_name() != "sqlite" or url.query:
        return None
    return DatabaseFile(url.database or MEMORY, USAGE)


def unusable(database: str, error: Exception) -> StoreError:
    """The error about a database that is no file of ours.

    Args:
        database: What `shown` makes of it.
        error: What was raised.
    """
    bare(error)  # drivers are called with the password
    unread = (SQLAlchemyError, ValueError, TypeError)
    if isinstance(error, unread) and not isinstance(error, (DBAPIError, NoSuchModuleError)):
        # Other messages repeat the URL, and with it a password.
        reason = "it is not the URL of a database"
    else:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
    return USAGE.unusable(database, reason)


def shown(database: str) -> str:
    """A database as a person may see it: without the password of its URL.

    >>> shown("postgresql://ann:secret@host/db")
    'postgresql://ann:***@host/db'
    """
    if "://" not in database:
        return database
    try:
        return redacted(sa.make_url(database).render_as_string(hide_password=True), by="***")
    except SQLAlchemyError:
        return f"{database.partition('://')[0]}://…"
