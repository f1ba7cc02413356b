"""The calculator: exact arithmetic on the formula of the arguments."""

from __future__ import annotations

import json
from typing import Any

from dashnb.local.arithmetic import CalculationError, evaluate, format_number, is_exact
from dashnb.local.plugins.arguments import read_arguments, text_argument


async def calculator(arguments: str, tool: dict[str, Any]) -> str:
    """The formula and its result, as JSON text.

    >>> import asyncio
    >>> asyncio.run(calculator('{"expression": "999 × 998"}', {"type": "calculator"}))
    '{"formula": "999 × 998", "result": "997002", "exact": true}'

    The result is text, because JSON readers round long numbers. What cannot be calculated is an answer
    too, with `error` in place of `result`: the model can then say why, and the run goes on.

    Raises:
        PluginError: The arguments are not JSON, or hold no formula.
    """
    given = read_arguments(arguments, plugin="calculator")
    formula = text_argument(given, "expression", "formula", plugin="calculator")
    try:
        value = evaluate(formula)
    except CalculationError as error:
        return json.dumps({"formula": formula, "error": str(error)}, ensure_ascii=False)
    result = {"formula": formula, "result": format_number(value), "exact": is_exact(value)}
    return json.dumps(result, ensure_ascii=False)
