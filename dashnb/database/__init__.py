"""SQLite files: opened in one place and in one way, and what is wrong with one said so that a person can act.

    path → looked at, never opened beside SQLite → connection that works → failure → its cause → a remedy

Nothing else in dashnb opens these files. On POSIX, a process that closes a file loses all of its locks on
it, those of SQLite too; another process then believes that nobody uses the database, and removes what was
not yet written back.
"""

from dashnb.database.diagnosis import Usage
from dashnb.database.file import MEMORY, DatabaseFile, beginning

__all__ = ["MEMORY", "DatabaseFile", "Usage", "beginning"]
