"""What goes over the wire, pure: no input or output, no clock, no randomness.

bytes → sse → events → state          and, on the embedded side, events → sse → bytes
objects, requests, operations: what travels and where it goes; lifecycle: which status may follow which
spellings: one form for what the wire spells in several ways
"""
