"""The client: every operation of the Assistant API, over httpx, waiting or awaited.

calls (what to send, pure) → client (send it) → failures (what went wrong) or stream (events, and their sum)
"""
