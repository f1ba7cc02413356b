"""The engine that answers by rules: no model, no key, no network, and honest about it."""

from dashnb.local.models.guide.engine import GuideEngine

__all__ = ["GuideEngine"]
