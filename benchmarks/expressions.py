"""What every regular expression of the package does on the line of 100 kB that is hardest for it.

The lines come from the form of each expression, and from a list of what is hard for one reader or another; a
module that cuts its text before has lines of that length. Prints a table, the most work first, and the same for
the browser's side, where Node is installed. Takes minutes.

    python benchmarks/expressions.py [SIZE]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))
import front_patterns

import patterns

AT_MOST = 5.0  # seconds of the processor


def main() -> None:
    """Print the table."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    found, unknown = patterns.everything()
    rows = [(patterns.worst(one, size, AT_MOST), one) for one in found]
    print(f"{len(found)} expressions, {sum(worst.lines for worst, _ in rows):,} lines of {size:,} characters")
    print(f"not known: {', '.join(unknown) or 'none'}")
    print(f"{'ms':>8}  {'ns/char':>8}  expression and its worst line")
    for worst, one in sorted(rows, key=lambda row: -row[0].seconds):
        over = "> " if worst.is_over else ""
        per = 1e9 * worst.seconds / max(1, len(worst.line))
        shown = worst.line if len(worst.line) <= 30 else f"{worst.line[:22]}…{worst.line[-5:]}"
        print(f"{over}{1000 * worst.seconds:8.2f}  {per:8.1f}  {one}  {shown!r}")
    if front_patterns.NODE:
        found_in_front = {**front_patterns.expressions(), **dict.fromkeys(front_patterns.built(), "put together")}
        worst_in_front = zip(found_in_front.items(), front_patterns.worst([*found_in_front], size), strict=True)
        for (source, files), result in sorted(worst_in_front, key=lambda row: -row[1].seconds):
            print(f"{'> ' * result.is_over}{1000 * result.seconds:8.2f}  {files}: {source}  {result.line!r}")


if __name__ == "__main__":
    main()
