"""Search output: its forms, what stays of it, and the grouped form's way back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import marker
from headroom.compressors import search_groups, search_lines
from headroom.compressors.base import Draft
from headroom.compressors.search import Search
from headroom.model import Fidelity, Segment

HASH = "0123456789abcdef"


def render(
    text: str, question: str = "", fidelity: Fidelity = "reversible", scores: list[float] | None = None, arguments: str = ""
) -> Draft | None:
    segment = Segment(text, (0, len(text)), question=question, arguments=arguments)
    parsed = Search().parse(segment)
    if parsed is None:
        return None
    return Search().render(segment, parsed, scores or [0.0] * len(parsed.units), fidelity, HASH)


def matches(files: int = 12, each: int = 20, drive: str = "") -> list[str]:
    return [
        f"{drive}packages/depot/src/part{number}.py:{10 + 7 * at}:        total = weigh_parcel(crate_{at}, {number})"
        for number in range(files)
        for at in range(each)
    ]


def test_every_file_stays_named_with_its_count_and_its_ends() -> None:
    lines = matches()
    draft = render("\n".join(lines))
    assert draft is not None
    assert len(draft.text) < 0.45 * len("\n".join(lines))
    assert not draft.lossless
    assert list(marker.hashes(draft.text)) == [HASH]
    assert "@~ packages/depot/src/" in draft.text
    for number in range(12):
        assert f"@ part{number}.py: 20 matches" in draft.text
        assert f"10:        total = weigh_parcel(crate_0, {number})" in draft.text
        assert f"143:        total = weigh_parcel(crate_19, {number})" in draft.text


def test_a_definition_stays() -> None:
    lines = matches()
    lines[107] = "packages/depot/src/part5.py:59:def weigh_parcel(crate: Crate, zone: int) -> Decimal:"
    lines[130] = "packages/depot/src/part6.py:80:    public static Decimal weigh_parcel(Crate crate) {"
    draft = render("\n".join(lines), arguments='{"pattern": "weigh_parcel"}')
    assert draft is not None
    assert "59:def weigh_parcel(crate: Crate, zone: int) -> Decimal:" in draft.text
    assert "80:    public static Decimal weigh_parcel(Crate crate) {" in draft.text


def test_a_line_named_by_path_and_number_stays() -> None:
    draft = render("\n".join(matches()), question="What is at line 87 of packages/depot/src/part7.py?")
    assert draft is not None
    assert "87:        total = weigh_parcel(crate_11, 7)" in draft.text


def test_high_scores_stay() -> None:
    lines = matches()
    scores = [0.0] * len(lines)
    scores[66] = 3.0
    draft = render("\n".join(lines), scores=scores)
    assert draft is not None
    assert lines[66].split(":", 1)[1] in draft.text


def test_many_files_without_a_kept_line_share_one_line_per_directory() -> None:
    lines = [
        f"web/src/area{number % 3}/view{number}.ts:{at}:import {{ thing{number} }} from 'lib'" for number in range(300) for at in (1, 2)
    ]
    lines.sort(key=lambda line: line.split("/view")[0])
    draft = render("\n".join(lines))
    assert draft is not None
    assert len(draft.text) < 0.5 * len("\n".join(lines))
    for number in range(300):
        assert f"view{number}.ts" in draft.text


def test_messages_of_the_tool_stay() -> None:
    lines = [*matches(), "grep: secrets/: Permission denied"]
    draft = render("\n".join(lines))
    assert draft is not None
    assert "grep: secrets/: Permission denied" in draft.text


FORMS = {
    "grep -n": matches(),
    "windows": matches(drive="C:\\"),
    "bare": [line.replace(":", "#", 1).split("#")[0] + ":" + line.split(":", 2)[2] for line in matches()],
    "context": [
        part
        for number in range(60)
        for part in (f"src/depot/a-b-2-{number}.py-{number}-before", f"src/depot/a-b-2-{number}.py:{number + 1}:hit", "--")
    ],
    "paths": [f"./packages/depot/source/shelf{number // 12}/box-{number}.java" for number in range(120)],
    "odd lines": ["@ not a path", "\\ not an escape", "12:no file", "", *matches(), "Binary file x.bin matches", ""],
    "crlf": [line + "\r" for line in matches()],
}


@pytest.mark.parametrize("name", FORMS)
def test_the_grouped_form_decodes_to_the_same_bytes(name: str) -> None:
    text = "\n".join(FORMS[name])
    draft = render(text, fidelity="lossless")
    assert draft is not None
    assert draft.lossless
    assert len(draft.text) < 0.8 * len(text)
    assert search_groups.decode(draft.text) == text


def test_reading_tells_matches_from_context_and_paths_with_dashes() -> None:
    text = "a-1-b/c.py-9-before\na-1-b/c.py:10:x: int = 3\na-1-b/c.py-11-after\n--\nC:\\d\\e.py:12:y\nC:\\d\\e.py:14:z:1"
    listing = search_lines.read(text)
    assert listing is not None
    assert [(hit.path, hit.number, hit.sign, hit.text) for hit in listing.hits] == [
        ("a-1-b/c.py", "9", "-", "before"),
        ("a-1-b/c.py", "10", ":", "x: int = 3"),
        ("a-1-b/c.py", "11", "-", "after"),
        ("", "", "", "--"),
        ("C:\\d\\e.py", "12", ":", "y"),
        ("C:\\d\\e.py", "14", ":", "z:1"),
    ]


def test_headings_are_understood() -> None:
    text = "\n\n".join(
        "\n".join([f"src/mod{number}.rs", *(f"{at}:    let crate_{at} = weigh({number});" for at in range(3, 40))]) for number in range(6)
    )
    draft = render(text, question="what is in src/mod3.rs at line 17?")
    assert draft is not None
    assert len(draft.text) < 0.5 * len(text)
    assert "@ src/mod5.rs: 37 matches" in draft.text
    assert "17:    let crate_17 = weigh(3);" in draft.text


def test_paths_that_the_question_names_stay_whole() -> None:
    lines = [f"./lib/group{number // 50}/module{number}/index_{number * 7}.js" for number in range(400)]
    draft = render("\n".join(lines), question="In which directory is index_1414.js?")
    assert draft is not None
    assert "./lib/group4/module202/index_1414.js" in draft.text.split("\n")


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"key{number}: value {number}" for number in range(50)),
        "\n".join(f"2031-05-06T07:08:{number:02} INFO started" for number in range(50)),
        "\n".join("words and nothing but words, line by line" for _ in range(50)),
        "a.py:1:x\nb.py:2:y",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    assert render(text) is None


def test_decoding_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="before its path"):
        search_groups.decode("head\n12:text")


_LINE = st.one_of(
    st.text(max_size=30),
    st.from_regex(r"\A(src/a|C:\\b|a-1-b|x)\.py[:-]\d{1,3}[:-][a-z@\\: -]{0,12}\Z"),
    st.from_regex(r"\A[a-c]/[a-c]/[a-z]{1,3}\.ts\Z"),
    st.sampled_from(["--", "", "\r", "@ a.py", "@~ b", "\\", "12:x", "src/a.py", ":", "-", "a.py:", "\x00"]),
)


@given(st.lists(_LINE, max_size=50), st.text(max_size=50), st.sampled_from(["lossless", "reversible"]))
def test_any_text_is_rendered_the_same_way_twice_or_not_at_all(lines: list[str], question: str, fidelity: Fidelity) -> None:
    text = "\n".join(lines)
    draft = render(text, question, fidelity)
    assert draft == render(text, question, fidelity)
    if draft is not None:
        assert HASH in draft.text
        assert len(draft.text) < len(text)
        if fidelity == "lossless":
            assert draft.lossless
            assert search_groups.decode(draft.text) == text


@pytest.mark.parametrize("sign", ["a", "1", ":", "-", "/", "a:1:", "a-1-", "\x00"])
def test_a_huge_single_line_is_survived(sign: str) -> None:
    huge = sign * (400_000 // len(sign))
    render("\n".join(["a.py:1:x"] * 20 + [huge]), "line 3 of a.py")
    render(huge + "\n" * 20)


def test_a_path_that_begins_another_does_not_take_its_lines() -> None:
    lines = [f"docs/report:{number}:see appendix {number}" for number in range(1, 40)]
    lines += [f"docs/report-2024-summary.txt:{number}:appendix {number}" for number in range(1, 40, 2)]
    lines += [f"docs/report-2024-summary.txt-{number}-see appendix 7" for number in range(2, 40, 2)]
    listing = search_lines.read("\n".join(lines))
    assert listing is not None
    assert {(hit.path, hit.number) for hit in listing.hits[-19:]} == {("docs/report-2024-summary.txt", str(n)) for n in range(2, 40, 2)}
