"""All tools of an embedded API by their types: built in, a person's own, and those of installed packages.

A package offers a tool by the entry point group ``dashnb.plugins``: the entry's name is the type, and
its object a `Plugin`. It is loaded when it is called, so that a broken package disturbs nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

from dashnb.errors import StoreError
from dashnb.local.plugins import Plugin, PluginError, ThreadPlugin, close_plugins
from dashnb.local.plugins.folder import REGISTRY, Folder
from dashnb.local.plugins.registry import OwnPlugin, read_registry

GROUP = "dashnb.plugins"


class Toolbox(Mapping[str, Plugin]):
    """Looks a tool up where it may be; what is built in comes first.

    Args:
        built_in: The tools of dashnb.
        folder: Where a person's own plugins are kept; read at each look-up, so that a new one is there at once.
    """

    def __init__(self, built_in: Mapping[str, Plugin], folder: Folder) -> None:
        self._built_in = dict(built_in)
        self._folder = folder

    @property
    def built_in(self) -> frozenset[str]:
        """The types that dashnb itself has."""
        return frozenset(self._built_in)

    def __getitem__(self, name: str) -> Plugin:
        if name in self._built_in:
            return self._built_in[name]
        own = self._own()
        if name in own:
            from dashnb.local.plugins.http_plugin import http_tool

            return http_tool(own[name])
        return _loaded(_offered()[name])

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._built_in, *self._own(), *_offered()]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    async def aclose(self) -> None:
        """Close the built-in tools that have something to close."""
        await close_plugins(self._built_in)

    def _own(self) -> dict[str, OwnPlugin]:
        try:
            return read_registry(self._folder() / REGISTRY)
        except StoreError as error:
            raise PluginError(str(error)) from error


def _offered() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _loaded(entry: EntryPoint) -> Plugin:
    package = entry.dist.name if entry.dist is not None else entry.value
    try:
        plugin: Plugin = entry.load()
    except Exception as error:
        # Whatever happens while a foreign module is imported.
        reason = f"{type(error).__name__}: {error}"
        raise PluginError(f"The tool {entry.name!r} of {package} cannot be loaded: {reason}.") from error
    if not callable(plugin) and not isinstance(plugin, ThreadPlugin):
        raise PluginError(f"The tool {entry.name!r} of {package} is no function but {type(plugin).__name__}.")
    return plugin
