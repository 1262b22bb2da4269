"""HTML pages as markdown: the text verbatim, the markup gone.

Title, description, headings, paragraphs, lists, tables, code and links stay; scripts, styles,
drawings, comments and attributes go. Of the page's frame (menus, banners, footers) only what is
running text stays, and what the question names: when that frame turns out to hold most of the
text it was none. Of a page that is still large, blocks that a question does not point at are left
out, each gap marked in place, headings kept. The original is what the hash redeems; there is no
lossless form.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from headroom.ccr import marker
from headroom.compressors import extract, named
from headroom.compressors.base import Draft, Parsed
from headroom.compressors.html_blocks import Block, Page, read
from headroom.model import Fidelity, Segment

_MARKUP = 20  # tags that a text must have at least to be a page
_RUNNING = 60  # characters outside links from which a block is running text
_SENTENCE = 25  # the same for a block that ends like a sentence
_LINKED_SENTENCE = 40  # characters of a sentence that is a link
_LINK_END = re.compile(r"\]\([^()\s]*\)$")
_SENTENCE_ENDS = (".", "!", "?", ":", "\u2026", "\u3002", "\uff01", "\uff1f")
_MOSTLY = 0.4  # share of a page's text above which its frame is no frame
_POINTED = 0.5  # share of the best score from which a block of the frame is asked for
_NAMED_MOST = 8  # blocks a name may hit to single any out
_LARGE = 14_000  # characters of markdown from which blocks are left out where it is known what is asked
_SHARE = 0.6  # of the characters that stays
_GAP = 200  # characters that a gap saves at least
_NOUNS = {"heading": "headings", "text": "paragraphs", "item": "list items", "row": "table rows", "code": "code blocks"}


class Html:
    """Units are the blocks of the page, in order, with those of its frame."""

    label: Final = "html"

    def parse(self, segment: Segment) -> Parsed | None:
        if segment.text.count("<") < _MARKUP:
            return None
        page = read(segment.text)
        if page is None or not page.blocks:
            return None
        return Parsed([block.text for block in page.blocks], page)

    def render(self, segment: Segment, parsed: Parsed, scores: Sequence[float], fidelity: Fidelity, hash: str) -> Draft | None:
        if fidelity == "lossless":
            return None
        page: Page = parsed.structure
        kept = [at for at, keep in enumerate(_framed(segment, page, parsed.units, scores)) if keep]
        removed = len(page.blocks) - len(kept)
        blocks = [page.blocks[at] for at in kept]
        gaps = _gaps(segment, blocks, [scores[at] for at in kept])
        left_out = sum(end - start for start, end in gaps)
        head = marker.re_encoded(_what(page, removed, left_out), hash)
        return Draft("\n".join([head, *_about(page), _join(blocks, gaps)]), len(page.blocks), len(kept) - left_out)


def _what(page: Page, removed: int, left_out: int) -> str:
    gone = f" and {removed} short blocks of menus, banners and footers" if removed else ""
    more = f", and {left_out} blocks as marked in place" if left_out else ""
    links = f"; links that begin with / are on {page.origin}" if page.origin else ""
    return f"HTML page as markdown, its text verbatim; markup, scripts and styles{gone} left out{more}{links}"


def _about(page: Page) -> list[str]:
    lines = [f"Title: {page.title}"] if page.title else []
    return [*lines, f"Description: {page.description}"] if page.description else lines


def _join(blocks: Sequence[Block], gaps: Sequence[tuple[int, int]]) -> str:
    """Items and rows on lines of their own, everything else apart; what each gap held in its place."""
    ends = dict(gaps)
    lines: list[str] = []
    before, at = "", 0
    while at < len(blocks):
        block, end = blocks[at], ends.get(at)
        dense = block.kind == before and block.kind in ("item", "row")
        text = block.text if end is None else marker.gap(_count(blocks[at:end]))
        lines.append(text if dense or not before else f"\n{text}")
        before = blocks[end - 1].kind if end else block.kind
        at = end or at + 1
    return "\n".join(lines)


def _count(blocks: Sequence[Block]) -> str:
    """`12 paragraphs, 3 list items`."""
    counts = Counter(block.kind for block in blocks)
    return ", ".join(f"{count} {_NOUNS[kind] if count > 1 else _NOUNS[kind][:-1]}" for kind, count in counts.most_common())


def _gaps(segment: Segment, blocks: Sequence[Block], scores: Sequence[float]) -> list[tuple[int, int]]:
    """The runs of blocks that are left out of a large page, none where nothing in particular is asked for."""
    sizes = [len(block.text) for block in blocks]
    if sum(sizes) < _LARGE or max(scores) <= 0 or not extract.points(segment):
        return []
    texts = [block.text for block in blocks]
    kept = {at for at, block in enumerate(blocks) if block.kind == "heading"}
    kept |= {at for at in range(1, len(blocks)) if blocks[at - 1].kind == "heading"}
    kept |= extract.asked_for(segment, texts, scores)
    return list(extract.gaps(sizes, extract.fill(sizes, kept, extract.worth(texts, scores), _SHARE * sum(sizes)), _GAP))


def _framed(segment: Segment, page: Page, units: Sequence[str], scores: Sequence[float]) -> list[bool]:
    """Which blocks stay when the page's frame is taken away."""
    blocks = page.blocks
    words = Counter[int]()
    for block in blocks:
        words[block.chrome] += block.words
    frames = {frame for frame, count in words.items() if frame and count <= _MOSTLY * words.total()}
    keep = [block.chrome not in frames or _is_running(block) for block in blocks]
    for at in _asked_for(segment, units, scores):
        keep[at] = True
    return _without_empty(blocks, frames, keep)


def _is_running(block: Block) -> bool:
    """Whether a block of the frame is more than a label or a link."""
    if block.kind in ("heading", "code"):
        return True
    sentence = _LINK_END.sub("", block.text).endswith(_SENTENCE_ENDS)
    if block.words < block.linked:
        return sentence and block.words + block.linked >= _LINKED_SENTENCE
    return block.words >= _RUNNING or (sentence and block.words >= _SENTENCE)


def _asked_for(segment: Segment, units: Sequence[str], scores: Sequence[float]) -> set[int]:
    """Blocks that a name of the question singles out, and those that score high."""
    best = max(scores, default=0.0)
    found = {at for at, score in enumerate(scores) if best > 0 and score >= _POINTED * best}
    text, offsets = "\n".join(units), named.starts(units)
    for name in named.names("\n".join((segment.question, segment.intent))):
        hits = named.holding(text, offsets, name, _NAMED_MOST + 1)
        if len(hits) <= _NAMED_MOST:
            found.update(hits)
    return found


def _without_empty(blocks: Sequence[Block], frames: set[int], keep: list[bool]) -> list[bool]:
    """Headings of the frame under which nothing is left go too."""
    content = 0  # 1 when something stays below the heading that is looked at
    for at in range(len(blocks) - 1, -1, -1):
        block = blocks[at]
        if block.kind != "heading":
            content = content or int(keep[at])
        elif block.chrome in frames and block.level > 1 and not content:
            keep[at] = False
        else:
            content = 0
        if at and blocks[at - 1].chrome != block.chrome:
            content = 0
    return keep
