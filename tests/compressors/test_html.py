"""HTML as markdown: what stays is verbatim, what goes is markup and the page's frame, and no text makes it fail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.ccr import marker
from headroom.compressors.base import Draft
from headroom.compressors.html import Html
from headroom.compressors.html_blocks import read
from headroom.model import Fidelity, Segment, content_hash
from headroom.scoring import bm25

HTML = Html()

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Tides &amp; moons |
 Harbour  notes</title>
<meta name="description" content="How the moon moves the sea."><link rel="canonical" href="https://harbour.example/notes/tides">
<style>.a { color: red }</style><script>var secret = "in a script";</script></head>
<body class="has-sidebar page">
<div id="cookie-consent"><p>We use cookies.</p><button>Accept all</button></div>
<nav><ul><li><a href="/">Home</a></li><li><a href="/boats">Boats</a></li><li><a href="/contact">Contact</a></li></ul></nav>
<main><article><h1>Tides</h1>
<p>The <b>spring</b>
   tide   comes twice a month; it isn&rsquo;t tied to the season.</p>
<!-- a comment -->
<h2>Heights</h2>
<table><thead><tr><th>Port</th><th>Height</th></tr></thead>
<tbody><tr><td>Brest</td><td>7.2 m</td></tr><tr><td>Dover</td><td>6.8&nbsp;m</td></tr></tbody></table>
<p>See <a href="https://harbour.example/tables?utm_source=mail&amp;year=2024">the tables</a> and <a href="#top">the top</a>.</p>
<ol start="3"><li>Look up the port<ul><li>by name</li></ul></li><li>Add the correction</li></ol>
<pre><code class="language-python">def height(t):
    return  a * cos(t)
</code></pre>
<blockquote><p>Time and tide</p></blockquote>
<svg><text>drawn</text></svg><img src="x.png" alt="A chart of heights">
</article></main>
<footer><p>Harbour notes has been written by the people of three small ports since 1998, and it is free for everybody.</p>
<ul><li><a href="/terms">Terms</a></li><li><a href="/privacy">Privacy</a></li></ul></footer>
</body></html>"""


def compress(text: str, question: str = "", fidelity: Fidelity = "reversible") -> Draft | None:
    segment = Segment(text, (0, 0), question=question)
    parsed = HTML.parse(segment)
    if parsed is None:
        return None
    return HTML.render(segment, parsed, bm25.scores(question, parsed.units), fidelity, content_hash(text))


def view(text: str, question: str = "") -> str:
    draft = compress(text, question)
    assert draft is not None
    return draft.text


def test_title_description_and_hash_stand_at_the_head() -> None:
    lines = view(PAGE).split("\n")
    assert list(marker.hashes(lines[0])) == [content_hash(PAGE)]
    assert lines[1:3] == ["Title: Tides & moons | Harbour notes", "Description: How the moon moves the sea."]


@pytest.mark.parametrize(
    "text",
    [
        "# Tides",
        "The spring tide comes twice a month; it isn\u2019t tied to the season.",
        "| Port | Height |\n| Brest | 7.2 m |\n| Dover | 6.8 m |",
        "See [the tables](/tables?year=2024) and the top.",
        "3. Look up the port\n  - by name\n4. Add the correction",
        "```python\ndef height(t):\n    return  a * cos(t)\n```",
        "> Time and tide",
        "![A chart of heights]",
    ],
)
def test_content_becomes_markdown(text: str) -> None:
    assert text in view(PAGE)


def test_markup_and_frame_are_gone_and_counted() -> None:
    text = view(PAGE)
    for gone in ("secret", "color: red", "a comment", "drawn", "Accept all", "Boats", "Privacy", "utm_source", "class="):
        assert gone not in text
    assert "7 short blocks of menus, banners and footers" in text.split("\n", 1)[0]
    assert "links that begin with / are on https://harbour.example" in text


def test_running_text_of_the_frame_stays() -> None:
    assert "written by the people of three small ports since 1998" in view(PAGE)


def test_a_sentence_of_the_frame_stays_though_it_is_a_link() -> None:
    page = (
        "<p>Words of the page.</p>" * 20
        + "<nav><a href='/t'>Low tide</a><p><a href='/s'>The night ferry sails again from Friday on.</a></p></nav>"
    )
    assert "[The night ferry sails again from Friday on.](/s)" in view(page)
    assert "Low tide" not in view(page)


def test_what_the_question_names_stays_in_the_frame_too() -> None:
    assert "[Privacy](/privacy)" in view(PAGE, "Where does the link 'Privacy' lead?")


def test_a_frame_that_holds_most_of_the_text_is_none() -> None:
    items = "".join(f"<li>Item {number} costs {number} crowns</li>" for number in range(30))
    text = view(f"<html><body><div class='sidebar'><h3>Prices</h3><ul>{items}</ul></div></body></html>")
    assert all(f"- Item {number} costs {number} crowns" in text for number in range(30))


def test_a_list_of_links_is_content_where_it_is_the_page() -> None:
    rows = "".join(f"<tr><td>{n}.</td><td><a href='https://news.example/{n}'>Story {n}</a></td></tr>" for n in range(1, 30))
    text = view(f"<html><body><table>{rows}</table></body></html>")
    assert "| 7. | [Story 7](https://news.example/7) |" in text


def test_a_layout_table_is_read_cell_after_cell() -> None:
    cell = "<h2>News</h2><p>Long words in a cell.</p>" + "<p>More of them.</p>" * 8
    text = view(f"<body><table><tr><td>{cell}</td><td><p>Second column.</p></td></tr></table></body>")
    assert "## News\n\nLong words in a cell." in text
    assert "|" not in text


def test_two_line_ends_part_paragraphs_and_one_does_not() -> None:
    blocks = read("<div>one<br>two<br><br>three</div>")
    assert blocks is not None
    assert [block.text for block in blocks.blocks] == ["one\ntwo", "three"]


def test_a_link_around_blocks_is_named_once() -> None:
    page = read("<a href='/story'><h3>Head line</h3><p>And what follows</p></a>")
    assert page is not None
    assert [block.text for block in page.blocks] == ["### [Head line](/story)", "And what follows"]
    assert [(block.words, block.linked) for block in page.blocks] == [(0, 9), (0, 16)]


@pytest.mark.parametrize("href", ["#part", "javascript:void(0)", "data:text/html,x", "", "/" + "x" * 400])
def test_links_that_lead_nowhere_are_text(href: str) -> None:
    page = read(f"<p>a <a href='{href}'>word</a></p>")
    assert page is not None
    assert page.blocks[0].text == "a word"


LARGE = "<h1>Harbours</h1>" + "".join(
    f"<h2>Harbour {n}</h2><p>Harbour {n} begins like this.</p>" + f"<p>The quay is long, its stones are old. {'x' * n}</p>" * 6
    for n in range(60)
)
LARGE = LARGE.replace("<h2>Harbour 31</h2>", "<h2>Harbour 31</h2><p>One</p><p>The crane was sold in May.</p><p>Two</p>")


def test_a_large_page_leaves_out_what_is_not_asked_for() -> None:
    draft = compress(LARGE, "When was the crane sold?")
    assert draft is not None
    page = read(LARGE)
    assert page is not None
    assert "One\n\nThe crane was sold in May.\n\nTwo" in draft.text
    assert all(block.text in draft.text for block in page.blocks if block.kind == "heading" or "begins like this" in block.text)
    gone = sum(int(count) for count in re.findall(r"\[(\d+) paragraphs left out here\]", draft.text))
    assert gone == draft.items - draft.items_kept > 100
    assert f"and {gone} blocks as marked in place" in draft.text.split("\n", 1)[0]


@pytest.mark.parametrize("question", ["", "Fetch the page.", "zzz?"])
def test_a_large_page_stays_whole_when_nothing_in_it_is_asked_for(question: str) -> None:
    draft = compress(LARGE, question)
    assert draft is not None
    assert draft.lossless


def test_there_is_no_lossless_form() -> None:
    assert compress(PAGE, fidelity="lossless") is None


@pytest.mark.parametrize("text", ["", "no markup at all", "<" * 50, "a < b and " * 30])
def test_what_is_no_page_is_left_alone_or_kept_whole(text: str) -> None:
    draft = compress(text)
    assert draft is None or text.strip()[:40] in draft.text


def test_nesting_beyond_any_page_is_refused() -> None:
    assert compress("<div>" * 50_000 + "x") is None
    assert compress("<ul><li>x" * 20_000) is None


@pytest.mark.parametrize(
    "unit", ["<p>\0x</p>", "<td>x", "<br>x", "<b><p>y", "<a href=x>y", "<pre>x", "</div>", "<h1>x", "<code>a`b</code>"]
)
def test_broken_pages_keep_their_text(unit: str) -> None:
    text = "<p>first words</p>" + unit * 300 + "<p>last words</p>"
    assert "first words" in view(text)
    assert "last words" in view(text)


_NAMES = (
    "p",
    "div",
    "nav",
    "main",
    "a",
    "table",
    "tr",
    "td",
    "ul",
    "li",
    "h2",
    "pre",
    "code",
    "br",
    "blockquote",
    "select",
    "script",
    "svg",
)
_ODD = ("<!--", "-->", "<img/alt='words'>", "<a/href='/x?utm_a=1&b=2'>", "<p/class='nav'>", "<template>", "&nbsp;", "&#0;", "&amp", "\0")
_TAGS = st.sampled_from([f"<{end}{name}>" for name in _NAMES for end in ("", "/")] + list(_ODD))


@given(st.lists(st.one_of(_TAGS, st.text(max_size=12)), max_size=80), st.text(max_size=30))
def test_any_soup_is_read(pieces: list[str], question: str) -> None:
    text = "".join(pieces)
    first, second = compress(text, question), compress(text, question)
    assert first == second
    if first is not None:
        assert 0 <= first.items_kept <= first.items


@given(st.lists(st.from_regex(r"[a-zA-Z0-9]{1,12}", fullmatch=True), min_size=1, max_size=60))
def test_words_of_paragraphs_survive_in_order(words: list[str]) -> None:
    text = "".join(f"<div><p>{word}</p></div>" for word in words * 12)
    body = view(text).split("\n", 1)[1]
    assert body.split() == words * 12


SIGNS = """<p>Cells: 10<sup>6</sup>, tolerance 2<sup>-3</sup>, the 1<sup>st</sup>,
price <del>$400</del> <ins>$480</ins>, <s>safe</s> for children</p>
<p>The maximum dose is <math><mn>5</mn></math> mg, and <math alttext="n &lt; 40"><mi>n</mi></math> always.</p>
<p><input type="checkbox" checked> encrypted <input type="checkbox"> public</p>
<div class="warning-banner">Do not use in production</div><div class="product-metadata">Price 499 EUR</div>
<table><tr><th colspan="2">Where</th><th>State</th></tr>
<tr><td rowspan="2">EU</td><td>h1</td><td>up</td></tr><tr><td>h2</td><td>down</td></tr>
<tr><td>US</td><td>h3</td><td>up</td></tr></table>"""


def test_what_says_more_than_its_text_is_written_in_signs() -> None:
    page = read(f"<html><body><main>{SIGNS}</main></body></html>")
    assert page is not None
    assert [block.text for block in page.blocks] == [
        "Cells: 10^6, tolerance 2^-3, the 1st, price ~~$400~~ $480, ~~safe~~ for children",
        "The maximum dose is 5 mg, and n < 40 always.",
        "[x] encrypted [ ] public",
        "Do not use in production",
        "Price 499 EUR",
        "| Where | Where | State |",
        "| EU | h1 | up |",
        "| EU | h2 | down |",
        "| US | h3 | up |",
    ]
    assert not any(block.chrome for block in page.blocks)
