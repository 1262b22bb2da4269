"""code: the outline stays, folds are marked and true to their line numbers, and what parsed before still parses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tree_sitter import Tree

from headroom.ccr.marker import hashes
from headroom.compressors import code_tree
from headroom.compressors.base import Draft
from headroom.compressors.code import Code
from headroom.compressors.code_grammar import LANGUAGE_OF, parser
from headroom.model import Segment
from headroom.scoring import bm25

HASH = "0123456789abcdef"
COMPRESSOR = Code()
GAP = re.compile(r"\[lines (\d+)-(\d+) left out here\]")


def compress(text: str, path: str = "", question: str = "", **arguments: object) -> Draft | None:
    call = json.dumps({"path": path, **arguments}) if path else ""
    segment = Segment(text, (0, 0), question=question, arguments=call)
    parsed = COMPRESSOR.parse(segment)
    if parsed is None:
        return None
    return COMPRESSOR.render(segment, parsed, bm25.scores(f"{question}\n{call}", parsed.units), "reversible", HASH)


def smaller(text: str, path: str = "", question: str = "") -> str:
    draft = compress(text, path, question)
    assert draft is not None
    assert not draft.lossless
    assert next(hashes(draft.text)) == HASH
    return draft.text


def body(number: int, indent: str, end: str) -> str:
    return "\n".join(f"{indent}total_{number}_{row} = weigh(parcel_{number}, factor_{row}){end}" for row in range(9))


_SCALE = '''

class Scale{n}(Base):
    """Scale number {n}."""

    unit = "kg"

    async def weigh_{n}(self, parcel_{n}: Parcel) -> int:
        """Weigh it."""
        if parcel_{n}:
{b}
        return total_{n}_0'''
_HEAD = '''"""Weighs parcels.

Longer words about the matter of
how parcels of every size and colour
are weighed, and on which scale.
"""

from scales import weigh

LIMIT = 30
'''
PYTHON = _HEAD + "\n".join(_SCALE.format(n=number, b=body(number, " " * 12, "")) for number in range(20))
BRACES = {
    "go": ("package scales\n\nimport (\n\t\"fmt\"\n)\n", "func Weigh{n}(p Parcel) int {{\n{b}\n\treturn 1\n}}\n", "\t", ""),
    "rs": ("use scales::weigh;\n", "pub fn weigh_{n}(p: Parcel) -> u32 {{\n{b}\n    1\n}}\n", "    ", ";"),
    "ts": ("import {{ weigh }} from './scales';\n", "export function weigh{n}(p: Parcel): number {{\n{b}\n  return 1;\n}}\n", "  ", ";"),
    "tsx": ("import React from 'react';\n", "export const Row{n} = (p: Parcel) => {{\n{b}\n  return <b>{{p.id}}</b>;\n}};\n", "  ", ";"),
    "js": ("const s = require('./scales');\n", "test('weighs {n}', async () => {{\n{b}\n}});\n", "  ", ";"),
    "java": ("import a.Scale;\n", "class S{n} {{\n  @Override\n  public int weigh{n}(Parcel p) {{\n{b}\n  }}\n}}\n", "    ", ";"),
    "c": ("#include \"scales.h\"\n", "static int weigh_{n}(struct parcel *p) {{\n{b}\n  return 1;\n}}\n", "  ", ";"),
    "cpp": ("#include <scales>\n", "template <class T> int weigh_{n}(const T &p) {{\n{b}\n  return 1;\n}}\n", "  ", ";"),
    "cs": ("using Scales;\n", "class S{n} {{\n  public int Weigh{n}(Parcel p) {{\n{b}\n  }}\n}}\n", "    ", ";"),
    "rb": ("require 'scales'\n", "def weigh_{n}(p)\n{b}\n  1\nend\n", "  ", ""),
    "php": ("<?php\nuse A\\Scale;\n", "function weigh{n}(Parcel $p): int {{\n  $x = [\n    1,\n  ];\n{b}\n  return 1;\n}}\n", "  $", ";"),
    "sh": ("set -e\n", "weigh_{n}() {{\n{b}\n}}\n", "  : ", ""),
}  # fmt: skip
SOURCES = {"py": PYTHON} | {
    extension: head.replace("{{", "{").replace("}}", "}")
    + "\n".join(part.format(n=number, b=body(number, indent, end)) for number in range(20))
    for extension, (head, part, indent, end) in BRACES.items()
}

SOURCES["sh"] = re.sub(r"= weigh\((.*)\)", r"\1 \1 \1", SOURCES["sh"])


def has_error(text: str, extension: str) -> bool:
    grammar = parser(LANGUAGE_OF[extension])
    assert grammar is not None
    return grammar.parse(text.encode()).root_node.has_error


def numbered(text: str, form: str = "{:6}\t{}") -> str:
    return "\n".join(form.format(number, line) for number, line in enumerate(text.split("\n"), 1))


@pytest.mark.parametrize("extension", SOURCES)
def test_what_parsed_before_still_parses(extension: str) -> None:
    text = SOURCES[extension]
    assert not has_error(text, extension)
    short = smaller(text, f"src/scales.{extension}")
    assert not has_error(short, extension)
    assert len(short) < 0.6 * len(text)
    assert "total_7_4" not in short


@pytest.mark.parametrize("extension", SOURCES)
def test_line_numbers_are_true(extension: str) -> None:
    rows = SOURCES[extension].split("\n")
    short = smaller(SOURCES[extension], f"scales.{extension}").split("\n")
    head = next(at for at, line in enumerate(short) if HASH in line)
    position = 0
    for line in short[:head] + short[head + 1 :]:
        if gap := GAP.search(line):
            assert int(gap[1]) == position + 1
            position = int(gap[2])
        else:
            assert line == rows[position]
            position += 1
    assert position == len(rows)


def test_a_python_outline() -> None:
    short = smaller(PYTHON, "scales.py")
    assert '"""Weighs parcels.\n[lines 2-5 left out here]\n"""' in short
    assert "from scales import weigh" in short
    assert "LIMIT = 30" in short
    for number in range(20):
        assert f'class Scale{number}(Base):\n    """Scale number {number}."""\n\n    unit = "kg"\n' in short
        assert f'parcel_{number}: Parcel) -> int:\n        """Weigh it."""\n        ...  # [lines ' in short
    compile(short, "scales.py", "exec")


@pytest.mark.parametrize("form", ["{:6}\t{}", "{:5}\u2192{}", "{}|{}", "{}:{}", "{}: {}"])
def test_printed_line_numbers_stay_with_their_lines(form: str) -> None:
    text = "Here is the file:\n" + numbered(PYTHON, form) + "\n(the end of it)\n"
    short = smaller(text, "scales.py")
    assert "total_7_4" not in short
    assert "Here is the file:\n" in short
    assert short.endswith("\n(the end of it)\n")
    rows = [row.lstrip(" ") for row in numbered(PYTHON, form).split("\n")]  # numbers lose their alignment
    assert all(line in rows for line in short.split("\n")[2:-2] if not GAP.search(line))
    first, last = next((int(gap[1]), int(gap[2])) for gap in GAP.finditer(short) if int(gap[1]) > 20)
    assert rows[first - 2] in short
    assert rows[last] in short


@pytest.mark.parametrize(
    ("question", "shown"),
    [
        ("How does the weigh 7 function work?", [f"total_7_{row}" for row in range(9)]),
        ("Explain Scale7", [f"total_7_{row}" for row in range(9)]),
        ("What does weigh_7 return?", [f"total_7_{row}" for row in range(9)]),
        ("Quote line 288 of scales.py", ["total_13_7"]),
        ("Why is `total_11_5` negative?", ["total_11_5 = weigh(parcel_11, factor_5)"]),
        ("scales.py:144 fails", ["total_6_3"]),
    ],
)
def test_what_the_question_names_stays(question: str, shown: list[str]) -> None:
    short = smaller(PYTHON, "scales.py", question)
    for name in shown:
        assert name in short
    assert "total_2_2" not in short
    assert not has_error(short, "py")


def test_a_test_is_named_by_its_title() -> None:
    title = "rounds down half a gram"
    text = SOURCES["js"].replace("weighs 13", title)
    short = smaller(text, "scales.test.js", "Why does it fail where it rounds down half a gram?")
    assert "total_13_4" in short
    assert "total_12_4" not in short


def test_of_a_large_body_only_the_asked_part_stays() -> None:
    rows = "\n".join(f"    if parcel.kind == {number}:\n        heavy_{number} = weigh(parcel, {number})\n" for number in range(300))
    text = f"def weigh_all(parcel):\n{rows}    return None\n"
    short = smaller(text, "a.py", "What is heavy_150?")
    assert "    if parcel.kind == 150:\n        heavy_150 = weigh(parcel, 150)\n" in short
    assert "heavy_20 " not in short
    assert "def weigh_all(parcel):\n" in short
    assert not has_error(short, "py")


def test_moderate_files_and_ranges_stay() -> None:
    assert compress(PYTHON[:5500], "scales.py") is None
    assert compress(PYTHON, "scales.py", offset=200) is None
    assert compress(PYTHON, "scales.py", question="Please read scales.py in full.") is None
    assert compress(PYTHON, "scales.py", question="Please read crane.py in full.") is not None
    assert compress(PYTHON[:5500], "scales.py", "What does Crane do in crane.py?") is not None


def test_the_range_that_was_asked_for_numbers_the_lines() -> None:
    draft = compress(PYTHON * 2, "scales.py", view_range=[501, 1100])
    assert draft is not None
    assert "[lines 502-505 left out here]" in draft.text


def test_several_files_in_one_text() -> None:
    text = f"==> a/one.py <==\n{PYTHON}\n\n==> b/two.go <==\n{SOURCES['go']}\n"
    short = smaller(text)
    assert "==> a/one.py <==" in short
    assert "==> b/two.go <==\npackage scales" in short
    assert "...  # [lines" in short
    assert "// [lines 7-16 left out here]" in short


def test_long_literals_keep_their_ends() -> None:
    rows = "\n".join(f'  "parcel-{number}": {{ weight: {number} }},' for number in range(400))
    short = smaller(f"export const parcels = {{\n{rows}\n}};\n", "parcels.ts")
    assert '"parcel-1": { weight: 1 },\n  // [lines 4-400 left out here]\n  "parcel-399"' in short
    assert not has_error(short, "ts")


def test_an_unknown_language_folds_by_indentation() -> None:
    text = "\n".join(f"fun weigh{number}(p: Parcel): Int {{\n{body(number, '    ', '')}\n}}\n" for number in range(30))
    short = smaller(text, "Scales.kt")
    assert "fun weigh7(p: Parcel): Int {\n    // [lines 86-94 left out here]\n}" in short


def test_the_language_of_pasted_code_is_guessed() -> None:
    for extension in ("py", "go", "rs", "ts", "java", "php"):
        assert not has_error(smaller(SOURCES[extension]), extension)


def test_first_lines_that_must_be_first_stay_first() -> None:
    assert smaller("#!/bin/sh\n" + SOURCES["sh"], "a.sh").startswith("#!/bin/sh\n# [source code")
    assert smaller(SOURCES["php"], "a.php").startswith("<?php\n// [source code")


def test_lossless_is_refused_and_equal_input_gives_equal_bytes() -> None:
    segment = Segment(PYTHON, (0, 0), arguments='{"path": "a.py"}')
    parsed = COMPRESSOR.parse(segment)
    assert parsed is not None
    assert COMPRESSOR.render(segment, parsed, [0.0] * len(parsed.units), "lossless", HASH) is None
    assert smaller(PYTHON, "a.py", "weigh_3") == smaller(PYTHON, "a.py", "weigh_3")


_PIECES = st.one_of(
    st.sampled_from(
        ["def f(a):\n    x = 1\n    y = 2\n    z = 3", "{", "}", "(", '"""', "/*",
         "*/", "`", "// a\n// b\n// c\n// d", "func f() {",
         "12|x\n13|y\n14|z", "==> a.rs <==", "fn main() {\n  a();\n  b();\n  c();\n}", "#if 1",
         "\t", "\r", "\x00", "class A:\n  pass", "<?php", "é" * 9]
    ),
    st.text(max_size=30),
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40), st.sampled_from(["", *LANGUAGE_OF]), st.text(max_size=30), st.integers(0, 60))
def test_any_text_keeps_its_order_and_tells_its_gaps(pieces: list[str], extension: str, question: str, copies: int) -> None:
    text = "\n".join([*pieces, *pieces * copies, "# more of it " * 300, *pieces])
    draft = compress(text, f"a.{extension}" if extension else "", f"b.py {question}")
    if draft is None:
        return
    assert 0 <= draft.items_kept < draft.items
    shown = iter(text.split("\n"))
    for line in draft.text.split("\n"):
        assert GAP.search(line) or HASH in line or line in shown


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    ["(" * 200_000, "def f():\n" + " x\n" * 60_000, "-" * 300_000, "a.b" * 100_000, '"""' * 50_000, "{\n" * 50_000],
    ids=["parentheses", "lines", "dashes", "dots", "quotes", "braces"],
)
def test_odd_text_costs_no_more_than_other_text(text: str) -> None:
    for path in ("a.py", "a.ts", "a.kt", ""):
        draft = compress(text, path, "what of b.py and " + "a." * 2000 + text[:3000])
        assert draft is None or len(draft.text) < len(text)


class Counting:
    """A parser that counts what it reads."""

    def __init__(self, language: str) -> None:
        self._parser = parser(language)
        self.read = self.steps = 0

    def parse(self, read: Callable[[int, object], bytes], progress_callback: Callable[[int, bool], bool]) -> Tree:
        def counted(start: int, point: object) -> bytes:
            chunk = read(start, point)
            self.read += len(chunk)
            return chunk

        def stepped(at: int, has_error: bool) -> bool:
            self.steps += 1
            return progress_callback(at, has_error)

        assert self._parser is not None
        return self._parser.parse(counted, progress_callback=stepped)


@pytest.mark.parametrize("language", ["c", "java", "javascript", "go", "php"])
def test_comments_that_never_end_are_not_looked_for_again_and_again(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = Counting(language)
    monkeypatch.setattr(code_tree, "parser", lambda _: grammar)
    code = "<?php\n" * (language == "php") + "/* a\n" * 12_000
    assert code_tree.regions(code.split("\n"), language) == []
    assert grammar.read < 30 * len(code)


@pytest.mark.parametrize("before", ["", "def add(a, b)\n  sum = a + b\n  puts sum\n  sum\nend\n\n" * 1500])
@pytest.mark.parametrize("odd", ["a\n=\n", "a\n="])
def test_a_place_that_reads_in_many_ways_is_left_soon(odd: str, before: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step there takes a millisecond."""
    ordinary, grammar = Counting("ruby"), Counting("ruby")
    monkeypatch.setattr(code_tree, "parser", lambda _: ordinary)
    functions = code_tree.regions(before.split("\n"), "ruby")
    monkeypatch.setattr(code_tree, "parser", lambda _: grammar)
    code_tree.regions((before + odd * 5000).split("\n"), "ruby")
    assert grammar.steps <= ordinary.steps + 30
    assert len(functions) == before.count("def")


def test_work_out_of_proportion_ends_in_a_look_at_the_indentation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(code_tree, "_by_indentation", lambda code: seen.append(len(code)) or [])
    for language, code in (("go", "[" + "[]," * 4000), ("ruby", "a\n=" * 1000), ("c", "a => " * 4000), ("c_sharp", "<p" * 4000)):
        code_tree.regions([code], language)
    assert len(seen) == 4


@pytest.mark.parametrize("size", [50_000, 900_000])
def test_ordinary_code_goes_through_the_tree_however_long(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_tree, "_by_indentation", lambda _: pytest.fail("not ordinary"))
    one = '/* Adds; it\'s\n * simple. */\nint add_%d(int a, int b)\n{\n    int sum = a + b;\n    log("%%d", sum);\n    return sum;\n}\n\n'
    text = "".join(f"#define SIZE_{n} {n}\n" for n in range(2000)) + "".join(one % n for n in range(size // len(one)))
    assert len(code_tree.regions(text.split("\n"), "c")) >= size // len(one)
