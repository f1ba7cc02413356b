"""The documents that a person gives to the search and to ``rag``: read, cut into passages, indexed, found.

texts (a file → its text) → passages (pieces of some 800 characters) → library (SQLite FTS5) → found
"""
