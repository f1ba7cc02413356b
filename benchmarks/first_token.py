"""How soon the first word of the first answer is there: python benchmarks/first_token.py

Starts fresh processes with an empty data folder, connects to the embedded API, asks a question, and
takes the time from the call of ``connect`` (its imports included) to the first text. Prints a table
with the parts and their share.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 9
PROGRAM = """
import json, time
import dashnb
started = time.perf_counter()
client = dashnb.connect("local")
connected = time.perf_counter()
session = dashnb.Session(client=client, ledger=None)
for state in session.stream("What is 999 × 998?"):
    if state.text:
        break
answered = time.perf_counter()
print(json.dumps([1000 * (connected - started), 1000 * (answered - connected)]))
"""


def main() -> None:
    """Print the table."""
    rows = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            environment = {**os.environ, "HOME": folder, "DASHNB_DATA_DIR": f"{folder}/data"}
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
            )
        rows.append(json.loads(done.stdout))
    connect, first = (statistics.median(column) for column in zip(*rows, strict=True))
    total = connect + first
    print(f"{'part':<28}{'median ms':>10}{'share':>8}")
    for name, value in (("connect, imports included", connect), ("first token", first), ("together", total)):
        print(f"{name:<28}{value:>10.0f}{value / total:>8.0%}")


if __name__ == "__main__":
    main()
