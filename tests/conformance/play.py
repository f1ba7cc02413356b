"""Play scripts with the installed SDK, each against an API of its own: play.py ROOT SCRIPT...

For each script one line of JSON: its name, what it printed, and the end of its traceback if it failed.
"""

import contextlib
import io
import json
import runpy
import sys
import traceback
from pathlib import Path

import dashscope

root, *names = sys.argv[1:]
dashscope.api_key = "sk-local"
for name in names:
    dashscope.base_http_api_url = f"{root}/{name}/api/v1"
    printed, error = io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(printed):
            runpy.run_path(str(Path(__file__).with_name(f"{name}.py")), run_name="__main__")
    except BaseException:
        error = traceback.format_exc()
    print(json.dumps({"name": name, "printed": printed.getvalue(), "error": error}), flush=True)
