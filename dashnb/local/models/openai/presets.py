"""Servers by name: where each listens, and which key it takes."""

from __future__ import annotations

from dataclasses import dataclass

from dashnb.errors import ConfigurationError
from dashnb.local.models.openai.exchange import OpenAIEngine
from dashnb.settings import Settings


@dataclass(frozen=True, slots=True)
class Preset:
    """A server that is known by name.

    Attributes:
        url: Its base URL; ``""`` where only the setting ``llm_url`` can tell.
        cloud: True if it takes the key of the cloud service.
    """

    url: str
    cloud: bool = False


PRESETS: dict[str, Preset] = {
    "openai": Preset(""),
    "qwen": Preset("https://dashscope.aliyuncs.com/compatible-mode/v1", cloud=True),
    "qwen-intl": Preset("https://dashscope-intl.aliyuncs.com/compatible-mode/v1", cloud=True),
    "ollama": Preset("http://127.0.0.1:11434/v1"),
    "vllm": Preset("http://127.0.0.1:8000/v1"),
    "llamacpp": Preset("http://127.0.0.1:8080/v1"),
}


def with_model(engine: str, settings: Settings) -> str:
    """The engine's name with the model that the settings give it; other engines' names as they are.

    >>> with_model("ollama", Settings.load({"DASHNB_LLM_MODEL": "qwen3:0.6b"}, file=None))
    'ollama:qwen3:0.6b'
    """
    model = settings.text("llm_model")
    return f"{engine}:{model}" if engine in PRESETS and model else engine


def open_engine(name: str, settings: Settings) -> OpenAIEngine | None:
    """The engine of a name such as ``ollama`` or ``ollama:qwen3:0.6b``; None if the name is no server's.

    >>> open_engine("ollama:qwen3:0.6b", Settings.load({}, file=None))
    OpenAIEngine('http://127.0.0.1:11434/v1', model='qwen3:0.6b')

    The setting ``llm_url`` outranks the address of the preset. The key of the cloud service goes to
    the cloud service only, never to another address.

    Raises:
        ConfigurationError: The address or the key is missing.
    """
    kind, colon, model = name.partition(":")
    preset = PRESETS.get(kind)
    if preset is None or (colon and not model):
        return None
    own_url, key = settings.text("llm_url"), settings.secret("llm_key")
    url = own_url or preset.url
    if not url.startswith(("http://", "https://")):
        found = f"llm_url is {settings.shown('llm_url')!r}" if url else "llm_url is not set"
        raise ConfigurationError(
            f"The engine {kind} needs the address of a server, and {found}.\n"
            "Set DASHNB_LLM_URL to its base URL, such as http://127.0.0.1:8000/v1."
        )
    if preset.cloud and not own_url:
        key = key or settings.secret("api_key")
        if not key:
            raise ConfigurationError(
                f"The engine {kind} needs a key: {settings.key_remedy}, or DASHNB_LLM_KEY for another one.\n"
                "Without a key there are guide, and servers of your own such as ollama."
            )
    chosen = model or settings.text("llm_model")
    return OpenAIEngine(url, key, model=chosen, timeout=settings.timeout, name=kind)
