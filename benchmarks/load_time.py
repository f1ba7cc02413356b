"""What ``%load_ext dashnb`` adds to IPython: python benchmarks/load_time.py

Times the extension in fresh processes, beside an extension that does nothing, and prints a table.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 9
PROGRAM = """
import sys, time
from IPython.core.interactiveshell import InteractiveShell
import ipykernel.ipkernel
shell = InteractiveShell.instance()
before = len(sys.modules)
started = time.perf_counter()
shell.run_line_magic("load_ext", {name!r})
print(1000 * (time.perf_counter() - started), len(sys.modules) - before)
"""


def measure(name: str, folder: str) -> tuple[float, int]:
    """The median time in milliseconds and the number of modules that loading an extension adds."""
    runs = []
    for _ in range(ROUNDS):
        program = [sys.executable, "-c", PROGRAM.format(name=name)]
        done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=folder)
        milliseconds, modules = done.stdout.split()[-2:]
        runs.append((float(milliseconds), int(modules)))
    return statistics.median(time for time, _ in runs), runs[0][1]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "nothing_ext.py").write_text("def load_ipython_extension(shell): pass\n")
        empty, _ = measure("nothing_ext", folder)
        ours, modules = measure("dashnb", folder)
    print(f"{'extension':<12}{'median ms':>10}{'ratio':>8}{'modules':>9}")
    print(f"{'nothing':<12}{empty:>10.2f}{1:>8.1f}{'':>9}")
    print(f"{'dashnb':<12}{ours:>10.2f}{ours / empty:>8.1f}{modules:>9}")


if __name__ == "__main__":
    main()
