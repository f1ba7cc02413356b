"""The tools of an embedded API, by the type that a tool definition names."""

from __future__ import annotations

from dashnb.local.plugins import Plugin
from dashnb.local.plugins.calculator import calculator
from dashnb.local.plugins.code_interpreter import CodeInterpreter
from dashnb.local.plugins.folder import Folder, data_folder
from dashnb.local.plugins.generate_qrcode import generate_qrcode
from dashnb.local.plugins.quark_search import search_tool
from dashnb.local.plugins.rag import rag_tool
from dashnb.local.plugins.text_to_image import picture_tool
from dashnb.local.plugins.toolbox import Toolbox
from dashnb.local.plugins.unavailable import github_search


def builtin_plugins(folder: Folder = data_folder) -> Toolbox:
    """New tools for one embedded API: those of dashnb, a person's own, and those of installed packages.

    >>> "calculator" in builtin_plugins(), "time_machine" in builtin_plugins()
    (True, False)

    Args:
        folder: Where a person's documents, pictures and own plugins are; the data folder if left out.
    """
    search, picture = search_tool(folder), picture_tool(folder)
    tools: dict[str, Plugin] = {
        "quark_search": search,
        "search": search,
        "text_to_image": picture,
        "wanx": picture,
        "calculator": calculator,
        "generate_qrcode": generate_qrcode,
        "rag": rag_tool(folder),
        "github_search": github_search,
        "code_interpreter": CodeInterpreter(folder),
    }
    return Toolbox(tools, folder)
