"""A small language model inside the process: SmolLM2-135M, for showing what a real model does, not for answers."""

from dashnb.local.models.smollm.engine import SmolLMEngine

__all__ = ["SmolLMEngine"]
