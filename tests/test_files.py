"""Files that a person or a folder names: regular ones, up to a limit, and never out of the folder."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dashnb.errors import ConfigurationError, DashnbError, InvalidArgument, StoreError
from dashnb.files import NotRegular, OutOfFolder, look, read_file
from dashnb.local.documents.adding import add, summary
from dashnb.local.documents.library import Library
from dashnb.local.documents.texts import MOST_BYTES, read_text
from dashnb.local.models.replay import read_recording
from dashnb.local.plugins.registry import read_registry, read_schema
from dashnb.prices import load
from dashnb.settings import Settings

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bound(path: Path) -> None:
    # The address of a socket is short.
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with closing(socket.socket(socket.AF_UNIX)) as made:
            made.bind(f"/proc/self/fd/{here}/{path.name}" if sys.platform == "linux" else path.name)
    finally:
        os.close(here)


def folder(path: Path) -> None:
    path.mkdir()


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def broken(path: Path) -> None:
    path.symlink_to("nothing")


MAKES: list[Callable[[Path], None]] = [pipe, device, folder, circle, broken]
MAKES += [bound] if sys.platform == "linux" else []


# --- one file ------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
def test_what_is_no_regular_file_is_neither_waited_for_nor_read(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    make(path)
    with pytest.raises((OSError, RuntimeError)):
        read_file(path, 100)
    with pytest.raises(InvalidArgument, match=r"x\.txt cannot be read: "):
        read_text(path)


@posix
@pytest.mark.parametrize("make", [pipe, device], ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    "read",
    [
        read_schema,
        read_registry,
        read_recording,
        load,
        lambda path: Settings.load({}, file=path),
    ],
    ids=["schema", "registry", "recording", "prices", "config"],
)
def test_a_pipe_or_a_device_in_the_place_of_any_file_is_an_error_in_words(
    read: Callable[[Path], object], make: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(DashnbError, match="no regular file") as caught:
        read(path)
    assert isinstance(caught.value, (ConfigurationError, InvalidArgument, StoreError))
    assert len(str(caught.value).splitlines()) <= 3


def test_no_more_than_the_limit_is_read_of_a_file_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 100)
    assert read_file(path, 100) == b"x" * 100
    seen = os.fstat

    def grown(descriptor: int) -> os.stat_result:
        found = seen(descriptor)
        with path.open("ab") as more:
            more.write(b"y" * 10_000)
        return found

    monkeypatch.setattr(os, "fstat", grown)
    with pytest.raises(OSError, match="too large"):
        read_file(path, 100)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_file_that_says_that_it_is_empty_is_read_up_to_the_limit() -> None:
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert read_file(path, 100_000).startswith(b"Name:")
    with pytest.raises(OSError, match="too large"):
        read_file(path, 10)


@posix
def test_a_link_may_lead_anywhere_inside_a_folder_and_nowhere_else(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "in-side"
    for place in (inside, inside / "deep", outside):
        place.mkdir()
        (place / "a.txt").write_text(place.name)
    (inside / "near.txt").symlink_to("deep/a.txt")
    (inside / "far.txt").symlink_to("../in-side/a.txt")
    (inside / "way").symlink_to(outside)
    (inside / "chain.txt").symlink_to("far.txt")
    (inside / "round.txt").symlink_to(outside / ".." / "in" / "a.txt")
    assert read_file(inside / "near.txt", 10, inside=inside) == b"deep"
    assert read_file(inside / "round.txt", 10, inside=inside) == b"in"
    for name in ("far.txt", "way/a.txt", "chain.txt", "../in-side/a.txt"):
        with pytest.raises(OutOfFolder, match="leads out of the folder"):
            read_file(inside / name, 10, inside=inside)
    assert read_file(inside / "far.txt", 10) == b"in-side"


@posix
def test_a_file_that_is_changed_for_a_link_between_look_and_open_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "secret.txt").write_text("canary")
    (inside / "a.txt").write_text("words")
    opened = os.open

    def swapped(path: Path, flags: int) -> int:
        (inside / "a.txt").unlink()
        (inside / "a.txt").symlink_to(tmp_path / "secret.txt")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OSError, match=r"a\.txt"):
        read_file(inside / "a.txt", 100, inside=inside)


@posix
def test_a_folder_that_is_changed_for_a_link_between_look_and_open_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "in"
    for place in (inside / "deep", tmp_path / "out"):
        place.mkdir(parents=True)
        (place / "a.txt").write_text("words")
    opened = os.open

    def swapped(path: Path, flags: int) -> int:
        (inside / "deep").rename(inside / "old")
        (inside / "deep").symlink_to(tmp_path / "out")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(OutOfFolder):
        read_file(inside / "deep" / "a.txt", 100, inside=inside)


@posix
def test_looking_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(tmp_path / "x.txt")

    def refuse(*_: object) -> int:
        raise AssertionError("opened")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(NotRegular, match="a named pipe"):
        look(tmp_path / "x.txt", tmp_path)


@posix
def test_a_database_that_this_process_has_open_keeps_its_locks_when_its_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (b)")
        connection.execute("BEGIN EXCLUSIVE")
        assert read_file(path, 1_000_000).startswith(b"SQLite format 3")
        with pytest.raises(OSError, match="too large"):
            read_file(path, 10)
        program = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('SELECT * FROM a')"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
        assert "database is locked" in done.stderr


# --- a folder of documents -----------------------------------------------------------------------


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    place = tmp_path / "docs"
    place.mkdir()
    (place / "a.md").write_text("# Cats\nRagdolls are calm.\n")
    return place


def names_and_lines(paths: list[Path], file: Path | str = ":memory:") -> tuple[list[str], list[str]]:
    with Library(file) as library:
        added = list(add(library, paths))
        return [one.name for one in library.documents()], summary(added, "default")


@posix
@pytest.mark.parametrize("make", MAKES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("name", ["x.txt", "x"])
def test_what_is_no_file_is_left_out_of_a_folder_and_named(make: Callable[[Path], None], name: str, docs: Path) -> None:
    if make is folder:
        (docs / "sub").mkdir()
        (docs / name).symlink_to("sub")
    else:
        make(docs / name)
    names, lines = names_and_lines([docs])
    assert names == ["a.md"]
    assert len(lines) == 2
    assert lines[1].startswith("Left out, as 1 ")
    assert lines[1].endswith(f": {name}.")


@posix
def test_links_out_of_a_folder_are_left_out_and_those_inside_it_are_read(docs: Path) -> None:
    secret = docs.parent / "secret.txt"
    secret.write_text("the password is canary")
    (docs.parent / "more").mkdir()
    (docs.parent / "more" / "b.txt").write_text("canary")
    for number in range(7):
        (docs / f"keys{number}.txt").symlink_to(secret)
    (docs / "more").symlink_to(docs.parent / "more")
    (docs / "again.md").symlink_to("a.md")
    os.link(docs / "a.md", docs / "hard.md")
    names, lines = names_and_lines([docs])
    assert names == ["a.md", "again.md", "hard.md"]
    left = "keys0.txt, keys1.txt, keys2.txt, keys3.txt, keys4.txt, …"
    assert lines[1:] == [f"Left out, as 8 links lead out of the folder: {left}."]


@posix
def test_a_file_that_a_person_names_may_be_a_link_but_no_pipe(docs: Path) -> None:
    (docs.parent / "link.md").symlink_to("docs/a.md")
    pipe(docs.parent / "pipe.md")
    names, lines = names_and_lines([docs.parent / "link.md", docs.parent / "pipe.md"])
    assert names == ["link.md"]
    assert "pipe.md cannot be read: it is a named pipe and no regular file." in lines[1]
    names, _ = names_and_lines([docs.parent / "link.md"])
    (docs.parent / "linked").symlink_to("docs")
    assert names_and_lines([docs.parent / "linked"])[0] == ["a.md"]


def test_many_files_that_cannot_be_read_are_counted_not_listed(docs: Path) -> None:
    for number in range(20):
        (docs / f"empty{number:02}.md").write_text("")
    (docs / "large.txt").write_bytes(b"x" * (MOST_BYTES + 1))
    _, lines = names_and_lines([docs])
    assert len(lines) == 7
    assert lines[-1] == "Not added, for such reasons: 16 more files."


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are any bytes")
def test_names_of_any_bytes_are_kept_and_shown_as_text(docs: Path) -> None:
    hostile = os.fsencode(docs) + b"/\x1b]0;PWNED\x07\xe9\n\xe2\x80\xae.md"
    Path(os.fsdecode(hostile)).write_text("# Dogs\nThey bark.\n")
    Path(os.fsdecode(hostile) + ".bin").write_text("x")
    Path(os.fsdecode(hostile)).with_suffix(".txt").write_text("")
    names, lines = names_and_lines([docs])
    assert names == ["a.md", "⟨U+001B⟩]0;PWNED⟨U+0007⟩⟨U+DCE9⟩⟨U+000A⟩⟨U+202E⟩.md"]
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 3


@posix
def test_the_databases_of_dashnb_are_not_opened_under_any_name(tmp_path: Path, docs: Path) -> None:
    data = tmp_path / "data"
    names_and_lines([docs], data / "documents.db")
    for name in ("documents.db", "ledger.db"):
        with closing(sqlite3.connect(data / name)):
            (data / name).touch()
        os.link(data / name, docs / f"{name}.txt")
    (docs / "inside.txt").symlink_to("ledger.db.txt")
    names, lines = names_and_lines([docs], data / "documents.db")
    assert names == ["a.md"]
    assert lines[1:] == ["Left out, as 3 files are databases of dashnb: documents.db.txt, inside.txt, ledger.db.txt."]
    _, lines = names_and_lines([docs / "ledger.db.txt"], data / "documents.db")
    assert lines[1].endswith("ledger.db.txt is left out, as 1 file is a database of dashnb.")


@posix
@pytest.mark.slow
def test_the_command_says_what_it_left_and_does_not_hang(docs: Path, tmp_path: Path) -> None:
    for make in (pipe, device, circle):
        make(docs / f"{make.__name__}.txt")
    done = subprocess.run(
        [sys.executable, "-m", "dashnb.cli", "docs", "add", str(docs)],
        env={**os.environ, "DASHNB_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "Added 1 document with 1 passage to the collection default.",
        "Left out, as 2 things are no regular files: circle.txt, pipe.txt.",
        "Left out, as 1 link leads out of the folder: device.txt.",
    ]


def test_a_file_that_this_process_only_writes_to_is_read_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "out.txt"
    with open(file, "w", encoding="utf-8") as out:
        print("words", file=out, flush=True)
        assert read_file(file, 100).split() == [b"words"]
