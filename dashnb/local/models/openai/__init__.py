"""The engine `openai`: any server that speaks the OpenAI chat-completions format answers.

presets (where) · request (turn → body) · exchange (body → chunks, and what can fail) · answer (chunks → pieces)
"""

from __future__ import annotations

from dashnb.local.models.openai.exchange import OpenAIEngine

__all__ = ["OpenAIEngine"]
