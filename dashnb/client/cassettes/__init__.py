"""Cassettes: what went over the wire in a file, so that a program can run again without any server.

    recorder   transport → exchange parts ─ redaction, spelling → lines of the file
    cassette   lines of the file → exchanges
    player     exchanges → transport
    runs       exchanges → the runs that they tell, to be shown

A cassette holds every request and every byte of the answers with its time, so that streams come again in
the same pieces, and break at the same byte. A recording of `dashnb.protocol.recording` is the events of
one stream; it has no requests, and cannot be connected to.
"""

from dashnb.client.cassettes.cassette import Cassette, Exchange, read_cassette
from dashnb.client.cassettes.player import AsyncReplayTransport, ReplayTransport
from dashnb.client.cassettes.recorder import AsyncRecordingTransport, RecordingTransport

__all__ = [
    "AsyncRecordingTransport",
    "AsyncReplayTransport",
    "Cassette",
    "Exchange",
    "RecordingTransport",
    "ReplayTransport",
    "read_cassette",
]
