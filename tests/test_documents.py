"""A person's documents: read from files, cut into passages, and found in English, Chinese and Japanese."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import sys
import time
from pathlib import Path

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashnb.errors import InvalidArgument, StoreError
from dashnb.local.documents.adding import add, summary
from dashnb.local.documents.library import SCHEMA_VERSION, Document, Library
from dashnb.local.documents.passages import LENGTH, SNIPPET, passages, snippet
from dashnb.local.documents.terms import share, terms, words
from dashnb.local.documents.texts import MOST_BYTES, Text, read_text

# A shop's texts in three languages: file, text.
SHOP = {
    "x1.md": "# Bailian X1\n\nThe Bailian X1 has a 6.7 inch screen with 1440 × 3200 pixels and costs 4599 yuan.\n\n"
    "## Battery\n\nThe battery holds 5000 mAh and charges fully in 45 minutes.\n",
    "zephyr.md": "# Zephyr Z9\n\nThe Zephyr Z9 is a small and light phone of 168 grams, with a 5.9 inch screen.\n\n"
    "## Camera\n\nIts camera takes pictures of 64 megapixels, also at night.\n",
    "returns.txt": "Returning a phone\n\nSend the phone back within 14 days. We refund the price within a week.\n\n"
    "Broken screens are repaired by our workshop in Hangzhou.\n",
    "reset.html": "<html><head><title>Resetting a phone</title><style>p {color: red}</style></head><body><h1>Reset</h1>"
    "<p>Hold the power button for ten\nseconds.</p><script>evil()</script></body></html>",
    "百炼.md": "# 百炼 X1 手机\n\n百炼 X1 配备 6.7 英寸屏幕，分辨率为 1440 × 3200 像素。\n\n"
    "## 电池\n\n电池容量为 5000 毫安时，四十五分钟即可充满。\n",
    "退货.txt": "退货说明\n\n十四天之内可以退货，一周内退款到账。\n",
    "保証.md": "# 保証について\n\n電話の保証期間は二年です。水による故障は保証の対象外です。\n",
    "画面.txt": "画面の修理\n\n割れた画面は杭州の工房で修理します。修理には三日かかります。\n",
    "prices.csv": "phone,price\nBailian X1,4599\nZephyr Z9,2999\n",
}

QUESTIONS = [
    ("Which phone has a screen of 6.7 inches?", "x1.md"),
    ("How long does charging the battery take?", "x1.md"),
    ("Which phone is light?", "zephyr.md"),
    ("night pictures camera", "zephyr.md"),
    ("How do I return a phone?", "returns.txt"),
    ("Where are broken screens repaired?", "returns.txt"),
    ("How can I reset my phone?", "reset.html"),
    ("百炼X1的屏幕有多大？", "百炼.md"),
    ("电池容量是多少", "百炼.md"),
    ("怎么退货", "退货.txt"),
    ("几天之内可以退款", "退货.txt"),
    ("保証期間はどのくらいですか", "保証.md"),
    ("水で故障した場合の保証", "保証.md"),
    ("割れた画面の修理", "画面.txt"),
    ("Zephyr Z9 price", "prices.csv"),
]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    for name, text in SHOP.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "documents.db"


def put(library: Library, name: str, text: str, *, collection: str = "default") -> None:
    document = Text(name, text, "markdown")
    library.put(Document(collection, name, f"/{name}", "markdown"), passages(document))


# Finding


@pytest.mark.parametrize(("question", "name"), QUESTIONS)
def test_a_question_finds_the_document_that_answers_it(shop: Path, question: str, name: str) -> None:
    with Library(":memory:") as library:
        list(add(library, [shop]))
        found = library.find(question, least=0.3)
        assert found, question
        assert found[0].document.name == name


@pytest.mark.parametrize(
    "question", ["Who won the football cup in Peru?", "里斯本天气", "京都の天気", "???", "", "the"]
)
def test_what_is_in_no_document_is_not_found(shop: Path, question: str) -> None:
    with Library(":memory:") as library:
        list(add(library, [shop]))
        assert library.find(question, least=0.3) == []


def test_one_document_does_not_fill_the_results() -> None:
    with Library(":memory:") as library:
        put(library, "long", "\n\n".join(f"# Part {n}\n\nCats sleep." for n in range(9)))
        put(library, "short", "Cats sleep.")
        found = library.find("cats sleep", per_document=2)
        assert sorted(one.document.name for one in found) == ["long", "long", "short"]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_query_is_answered(query: str) -> None:
    with Library(":memory:") as library:
        put(library, "cats", f"Cats sleep. {query}")
        library.find(query)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_a_text_has_all_the_terms_of_itself(text: str) -> None:
    assert share(words(text), set(terms(text))) in (0, pytest.approx(1))


def test_a_large_library_answers_quickly() -> None:
    with Library(":memory:") as library:
        for n in range(40):
            put(library, f"doc{n}", "\n\n".join(f"# Part {i}\n\nNumber {i} of {n} about phones." for i in range(50)))
        put(library, "cats", "Ragdoll cats are calm.")
        start = time.perf_counter()
        assert library.find("calm ragdoll cats")[0].title == "cats"
        library.find("number of phones")
        assert time.perf_counter() - start < 1


# Keeping


def test_adding_again_replaces_and_other_collections_stay(file: Path) -> None:
    with Library(file) as library:
        put(library, "a", "Cats sleep.")
        put(library, "a", "Cats sleep.", collection="pets")
        put(library, "a", "Dogs run.")
    with Library(file) as library:
        assert [(one.collection, one.passages) for one in library.documents()] == [("default", 1), ("pets", 1)]
        assert [one.document.collection for one in library.find("cats")] == ["pets"]
        assert [one.text for one in library.find("dogs")] == ["Dogs run."]
        assert library.find("dogs", collections=["pets"]) == []


def test_removing_forgets_a_collection_or_a_document(file: Path) -> None:
    with Library(file) as library:
        put(library, "a", "Cats sleep.")
        put(library, "b", "Cats eat.")
        put(library, "c", "Cats purr.", collection="pets")
        assert library.remove("nothing") == []
        assert [one.name for one in library.remove("pets")] == ["c"]
        assert [one.name for one in library.remove("/a")] == ["a"]
        assert [one.text for one in library.find("cats")] == ["Cats eat."]


def test_looking_makes_no_file(file: Path) -> None:
    with Library(file) as library:
        assert (library.documents(), library.find("cats"), library.remove("cats")) == ([], [], [])
    assert not file.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_only_its_owner_may_read_the_file(file: Path) -> None:
    with Library(file) as library:
        put(library, "a", "Cats sleep.")
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


def test_a_document_that_cannot_be_kept_leaves_the_one_before(file: Path) -> None:
    def broken() -> list[tuple[str, str]]:
        raise StoreError("the disk is full")

    with Library(file) as library:
        put(library, "a", "Cats sleep.")
        with pytest.raises(StoreError, match="disk is full"):
            library.put(Document("default", "a", "/a", "markdown"), (passage for passage in broken()))
        assert [one.text for one in library.find("cats")] == ["Cats sleep."]


def damage(file: Path) -> None:
    file.write_bytes(b"no database at all, but a long letter. " * 100)


def make_newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()


def make_foreign(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(damage, "cannot be used"), (make_newer, "newer dashnb"), (make_foreign, "another program's database")],
)
def test_a_file_that_cannot_be_used_is_left_as_it_is(file: Path, spoil: object, said: str) -> None:
    assert callable(spoil)
    file.parent.mkdir()
    spoil(file)
    before = file.read_bytes()
    with Library(file) as library:
        for work in (library.documents, lambda: library.find("cats"), lambda: put(library, "a", "Cats")):
            with pytest.raises(StoreError, match=said):
                work()
    assert file.read_bytes() == before


def test_two_libraries_may_write_to_one_file(file: Path) -> None:
    with Library(file) as one, Library(file) as other:
        put(one, "a", "Cats sleep.")
        put(other, "b", "Cats eat.")
        put(one, "c", "Cats purr.")
        assert len(other.find("cats")) == 3


# Reading


def test_a_notebook_gives_its_cells_and_not_its_outputs(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell("# Phones\n\nA table of phones."),
            nbformat.v4.new_code_cell(
                "# no heading\nphones.sort()", outputs=[nbformat.v4.new_output("stream", text="secret output")]
            ),
        ]
    )
    path = tmp_path / "phones.ipynb"
    nbformat.write(notebook, path)
    text = read_text(path)
    assert (text.title, text.kind) == ("Phones", "notebook")
    ((title, passage),) = passages(text)
    assert title == "Phones"
    assert "phones.sort()" in passage
    assert "secret output" not in passage


def test_an_old_notebook_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "old.ipynb"
    cell = {"cell_type": "markdown", "metadata": {}, "source": ["Old ", "words"]}
    path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 2}))
    assert read_text(path).text == "Old words"


def test_a_page_gives_what_one_sees_of_it(shop: Path) -> None:
    text = read_text(shop / "reset.html")
    assert text == Text("Resetting a phone", "# Reset\n\nHold the power button for ten seconds.", "html")


def test_the_rows_of_a_table_keep_the_names_of_its_columns() -> None:
    rows = "\n".join(f"Phone {n},{n * 100}" for n in range(200))
    found = passages(Text("prices", f"phone,price\n{rows}\n", "csv"))
    assert len(found) > 2
    assert all(text.startswith("phone,price\nPhone ") and len(text) <= LENGTH for _, text in found)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pdf", b"%PDF-1.7", "no type that can be read"),
        ("a.txt", b"\xc4\xe3\xba\xc3", "not text in UTF-8"),
        ("a.txt", b"a\0b", "zero bytes"),
        ("a.txt", b"  \n", "holds no text"),
        ("a.txt", b"x" * (MOST_BYTES + 1), "too large: 10.0 MB"),
        ("a.ipynb", b"{}", "is no notebook"),
        ("a.ipynb", b"[", "is no notebook"),
        ("missing.txt", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, name: str, data: bytes | None, said: str
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidArgument, match=said) as caught:
        read_text(tmp_path / name)
    assert name in str(caught.value)


def test_text_in_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("百炼手机", encoding="utf-16")
    assert read_text(tmp_path / "a.txt").text == "百炼手机"


def test_a_folder_is_added_but_for_what_is_hidden_or_unreadable(shop: Path) -> None:
    (shop / ".git").mkdir()
    (shop / ".git" / "config.txt").write_text("hidden")
    (shop / "photo.png").write_bytes(b"\x89PNG")
    (shop / "empty.md").write_text("")
    with Library(":memory:") as library:
        added = list(add(library, [shop], collection="shop"))
        assert {one.name for one in library.documents()} == set(SHOP)
    lines = summary(added, "shop")
    assert lines[0].startswith("Added 9 documents with 12 passages to the collection shop.")
    assert "empty.md holds no text" in lines[1]
    assert lines[2] == "Left out, as 1 file is of another type: photo.png."


# Passages


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab .\n#。猫`", max_size=3000), st.sampled_from(["markdown", "text", "csv", "json"]))
def test_passages_are_short_and_lose_no_letter(text: str, kind: str) -> None:
    if not text.strip():
        return
    found = passages(Text("title", text, kind))
    assert all(len(passage) <= LENGTH and passage for _, passage in found)
    letters = sum(map(text.count, "ab猫"))
    kept = sum(sum(map(passage.count, "ab猫")) for _, passage in found)
    titles = sum(sum(map(title.removeprefix("title").count, "ab猫")) for title in dict(found))
    if kind in ("text", "json"):
        assert kept == letters
    elif kind == "markdown":
        # A heading without text below it stands in no passage.
        assert kept + titles <= letters or kept <= letters


def test_a_heading_inside_code_is_none() -> None:
    text = "# Real\n\nBefore.\n\n```\n# not a heading\n```\n\nAfter."
    assert [title for title, _ in passages(Text("Doc", text, "markdown"))] == ["Doc: Real"]


def test_a_snippet_has_the_sentence_that_was_asked_for() -> None:
    text = (
        " ".join(f"Sentence number {n} is about nothing." for n in range(40)) + " Ragdoll cats are calm. " + "End. " * 9
    )
    shown = snippet(text, "ragdoll cats")
    assert "Ragdoll cats are calm." in shown
    assert len(shown) <= SNIPPET + 4
    assert shown.startswith("… ")
