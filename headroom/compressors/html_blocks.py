"""An HTML page as a list of markdown blocks: headings, paragraphs, list items, table rows, code.

The text of a page comes out verbatim (entities decoded, white space collapsed, code as it stands). What says more than its text is
written in signs: raised numbers (10^6), words struck out (~~no~~), ticks ([x]), cells that reach over several rows or columns (again in
each). Scripts, styles, drawings, comments and attributes are gone. Nothing else is dropped here: a block
that stands in navigation, a banner or a footer is marked as `chrome`, and whoever renders decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Literal

from selectolax.lexbor import LexborHTMLParser, LexborNode

from headroom.compressors.html_spans import Reach, reach, spread

Kind = Literal["heading", "text", "item", "row", "code"]

_GONE = ["script", "style", "svg", "noscript", "template", "iframe", "object", "canvas", "audio", "video"]
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BREAKS = frozenset(
    re.findall(
        r"\w+",
        """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption figure footer form header
        hgroup hr html legend li main menu nav ol optgroup option p pre search section select summary table tbody tfoot thead tr ul""",
    )
)
_CELLS = frozenset(("td", "th"))
_BLOCKS = _BREAKS | _CELLS | _HEADINGS.keys()
_LISTS = frozenset(("ul", "ol", "menu"))
_MAIN = frozenset(("main", "article"))
_NEVER_CHROME = frozenset((*_HEADINGS, "p", "pre", "table", "tbody", "tr", "td", "th", "li", "dd"))
_CHROME_TAGS = frozenset(("nav", "footer", "aside", "header", "dialog", "select", "button"))
_CHROME_ROLES = frozenset(("navigation", "banner", "contentinfo", "search", "menu", "menubar", "toolbar", "dialog", "alertdialog"))
_CHROME_NAME = re.compile(
    r"(?<![a-z])(?:nav(?:bar|igation)?|menu|breadcrumbs?|foot(?:er)?|masthead|header|side-?bar|cookies?|consent|gdpr|social|shar(?:e|ing)|related"
    r"|recommend(?:ed|ations)?|promo(?:tion)?s?|advert(?:isement)?s?|ads?|popup|modal|newsletter|subscribe|sign-?up|toolbar|pagination"
    r"|pager|tags?|skip|jump|login|widget|toc|print)(?![a-z])",
    re.IGNORECASE,
)
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f\v\xa0]+")
_SPACES = re.compile(" {2,}")
_EDGES = re.compile(r" *\n[ \n]*")
_TRACKING = re.compile(r"(?:utm_\w+|fbclid|gclid|dclid|msclkid|yclid|mc_[ce]id|igshid|_hsenc|_hsmi)=[^&#]*&?", re.IGNORECASE)
_NO_LINK = ("#", "javascript:", "data:", "about:")
_LONG_URL = 300
_NESTING = re.compile(
    r"<(/?)(?:div|span|section|article|main|blockquote|ul|ol|dl|table|details|figure|form|fieldset|center|font|button|nav|header|footer|aside|[bisu]"
    r"|em|strong|small|big|code|pre)[\s/>]",
    re.IGNORECASE,
)
_DEEPEST = 1000
_LANGUAGE = re.compile(r"\b(?:language-|lang-|highlight-source-|brush: ?)([\w+#-]{1,20})")
_DEEP = 12  # tables within tables, lists within lists and quotes within quotes beyond this depth are not told apart
_NAMES = 400  # characters of an attribute looked at
_TELLING_ALT = 3
_STRUCK = frozenset(("del", "s", "strike"))
_RAISED = re.compile(r"\s*[-+\u2212]?\d+\s*")
_TICKED = frozenset(("checkbox", "radio"))
_ROW = 600  # characters up to which what stands in a table row is one row


@dataclass(frozen=True, slots=True)
class Block:
    """`text` is markdown; of its readable characters (URLs not counted) `words` stand outside links and `linked` inside.

    `level` is that of a heading, else 0; `chrome` numbers the outermost element of the page's frame around it, 0 = none.
    """

    kind: Kind
    text: str
    words: int
    linked: int
    level: int = 0
    chrome: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """`origin` is left off the links that begin with it; empty when no such origin is known."""

    title: str
    description: str
    origin: str
    blocks: list[Block]


def read(html: str) -> Page | None:
    """The page of a text, however broken; None where elements are nested more deeply than in any page. Linear."""
    if _depth(html) > _DEEPEST:
        return None
    tree = LexborHTMLParser(html.replace("\0", ""))
    title = tree.css_first("head > title") or tree.css_first("title")
    name = "" if title is None else " ".join(title.text().split())
    description = _meta(tree, 'meta[name="description" i]') or _meta(tree, 'meta[property="og:description" i]')
    origin = _origin(tree)
    tree.strip_tags(_GONE, recursive=True)
    for formula in tree.css("math"):
        formula.replace_with(f" {_formula(formula)} ")
    walk = _Walk(origin)
    root = tree.body or tree.root
    if root is not None:
        _traverse(root, walk)
    return Page(name, description, origin, walk.blocks)


def _depth(html: str) -> int:
    """How deeply elements are nested, from the tags alone: what a parser does per tag grows with it."""
    return max(accumulate(1 if not end else -1 for end in _NESTING.findall(html)), default=0)


def _meta(tree: LexborHTMLParser, selector: str) -> str:
    node = tree.css_first(selector)
    return "" if node is None else " ".join((node.attributes.get("content") or "").split())


def _formula(node: LexborNode) -> str:
    """What a formula says of itself, or its text without the same in another notation."""
    said = node.attributes.get("alttext") or ""
    if not said:
        for other in node.css("annotation, annotation-xml"):
            other.decompose()
        said = node.text(separator=" ")
    return " ".join(said.split())


def _origin(tree: LexborHTMLParser) -> str:
    """Scheme and host that the page says it has."""
    link = tree.css_first('link[rel="canonical" i]')
    address = _meta(tree, 'meta[property="og:url" i]') if link is None else link.attributes.get("href") or ""
    match = re.match(r"https?://[^/\s?#]{3,100}(?=[/?#]|$)", address)
    return match[0] if match else ""


def _traverse(root: LexborNode, walk: _Walk) -> None:
    """Enter and leave every node below `root` in order, without recursion."""
    opened: list[LexborNode] = []
    node = root.first_child
    while node is not None or opened:
        if node is None:
            node = opened.pop()
            walk.leave()
        else:
            tag = node.tag or ""
            if tag == "-text":
                walk.text(node.text_content or "")
            elif not tag.startswith("-"):
                walk.enter(tag, node)
                opened.append(node)
                node = node.first_child
                continue
        node = node.next
    walk.flush()


@dataclass
class _Walk:
    """What is known at a point of the page, and the blocks before it."""

    origin: str
    blocks: list[Block] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)  # the text since the last block
    shown: int = 0  # readable characters in it
    linked: int = 0  # of these inside links
    opened: list[tuple[str, int]] = field(default_factory=list)  # tags, with the chrome around them
    chrome: int = 0
    frames: int = 0  # elements of the page's frame seen so far
    link: str | None = None  # where an open link leads, empty when that is not worth saying
    link_start: int = 0
    link_shown: int = 0
    code_start: int | None = None
    pre: int = 0
    language: str = ""
    quotes: int = 0
    lists: list[int] = field(default_factory=list)  # the number of the last item, or -1 where items have none
    bullet: str = ""
    rows: list[list[list[Block]]] = field(default_factory=list)  # cells of the open table rows, each a list of blocks
    reaches: list[list[Reach]] = field(default_factory=list)  # and how far each reaches
    above: list[dict[int, tuple[int, list[Block]]]] = field(default_factory=list)  # what reaches into the next row of each open table

    def text(self, data: str) -> None:
        if self.pre:
            self.parts.append(data)
            self.shown += len(data)
            return
        piece = _SPACE.sub(" ", data)
        if piece == " " and (not self.parts or self.parts[-1][-1:] in (" ", "\n")):
            return
        self.parts.append(piece)
        self.shown += len(piece)

    def enter(self, tag: str, node: LexborNode) -> None:
        if tag == "tr" and len(self.rows) == _DEEP:
            tag = "div"
        self.opened.append((tag, self.chrome))
        if tag in _BLOCKS:
            self._frame(tag, node)
            if not self.pre:
                self.flush()
                self._open(tag, node)
            elif tag == "pre":
                self.pre += 1
        else:
            self._inline(tag, node)

    def _inline(self, tag: str, node: LexborNode) -> None:
        """Enter an element within a block."""
        if tag == "a":
            self.link, self.link_start, self.link_shown = self._href(node), len(self.parts), self.shown
        elif tag == "br":
            self._line_end()
        elif tag == "code":
            self.code_start = None if self.pre else len(self.parts)
            self.language = self.language or (_language(node) if self.pre else "")
        elif not self.pre:
            self.parts += _sign(tag, node, "".join(self.parts[-1:])[-1:])

    def _frame(self, tag: str, node: LexborNode) -> None:
        """Notes where the page's frame begins, and where its main content does."""
        if tag in _MAIN:
            self.chrome = 0
        elif not self.chrome and tag not in _NEVER_CHROME and (tag in _CHROME_TAGS or _is_chrome(node)):
            self.frames += 1
            self.chrome = self.frames

    def _open(self, tag: str, node: LexborNode) -> None:
        """Enter an element that begins a block."""
        if tag == "pre":
            self.pre = 1
            self.language = _language(node)
        elif tag == "blockquote":
            self.quotes += 1
        elif tag in _LISTS:
            start = (node.attributes.get("start") or "") if tag == "ol" else ""
            first = int(start) if start.isdecimal() and len(start) < 9 else 1
            self.lists.append(first - 1 if tag == "ol" else -1)
        elif tag == "li":
            number = -1
            if self.lists and self.lists[-1] >= 0:
                number = self.lists[-1] = self.lists[-1] + 1
            self.bullet = "  " * (min(len(self.lists), _DEEP) - 1) + (f"{number}. " if number >= 0 else "- ")
        elif tag == "table":
            self.above.append({})
        elif tag == "tr":
            self.rows.append([])
            self.reaches.append([])
        elif tag in _CELLS and self.rows:
            self.rows[-1].append([])
            self.reaches[-1].append(reach(node.attributes))

    def leave(self) -> None:
        tag, chrome = self.opened.pop()
        if self.pre and tag != "pre":
            pass
        elif tag == "pre":
            self.pre -= 1
            if not self.pre:
                self.flush("code")
        elif tag in _BLOCKS:
            self.flush("heading" if tag in _HEADINGS else "text", _HEADINGS.get(tag, 0))
            self._close(tag)
        elif tag == "a":
            self._end_link()
            self.link = None
        elif tag in _STRUCK:
            self.parts += [] if self.pre else ["~~"]
        elif tag == "code":
            self._end_code()
        self.chrome = chrome

    def _close(self, tag: str) -> None:
        """Leave an element that ends a block."""
        if tag == "blockquote":
            self.quotes -= 1
        elif tag in _LISTS:
            self.lists.pop()
        elif tag == "li":
            self.bullet = ""
        elif tag == "table":
            self.above.pop()
        elif tag == "tr":
            self._end_row(self.rows.pop(), self.reaches.pop())

    def _line_end(self) -> None:
        """Two line ends in a row are the end of a paragraph."""
        if self.pre:
            self.parts.append("\n")
        elif self.parts and self.parts[-1] == "\n":
            self.flush()
        elif self.parts:
            self.parts.append("\n")

    def _href(self, node: LexborNode) -> str:
        """Where a link leads, as short as it can be said; empty when it leads nowhere else."""
        href = (node.attributes.get("href") or "").strip()
        if not href or href.lower().startswith(_NO_LINK) or not href.isprintable():
            return ""
        if "?" in href:
            href = _TRACKING.sub("", href).rstrip("?&")
        if self.origin and href.startswith(self.origin + "/"):
            href = href[len(self.origin) :]
        return href.replace(" ", "%20") if len(href) <= _LONG_URL else ""

    def _end_link(self) -> None:
        """The text since the link began as a link; what follows in the same element is plain text that counts as linked."""
        start = self.link_start
        self.linked += self.shown - self.link_shown
        if self.link is None or start >= len(self.parts):
            return
        inner = "".join(self.parts[start:])
        text = inner.strip()
        if text and self.link and text != self.link:
            space = " " if inner[0] in " \n" else ""
            behind = " " if inner[-1] in " \n" else ""
            self.parts[start:] = [f"{space}[{text}]({self.link}){behind}"]
            self.link = ""

    def _end_code(self) -> None:
        start, self.code_start = self.code_start, None
        if start is not None and start < len(self.parts):
            text = "".join(self.parts[start:])
            if text.strip() and "`" not in text and "](" not in text:
                self.parts[start:] = [f"`{text}`"]

    def flush(self, kind: Kind = "text", level: int = 0) -> None:
        """Make a block of the text since the last one."""
        if self.link is not None:
            self._end_link()
            self.link_start, self.link_shown = 0, 0
        self.code_start = None
        text = "".join(self.parts)
        shown, linked = self.shown, self.linked
        self.parts.clear()
        self.shown = self.linked = 0
        if kind == "code":
            text = text.strip("\n").rstrip()
            text = text and f"```{self.language}\n{text}\n```"
            self.language = ""
        else:
            text = _EDGES.sub("\n", _SPACES.sub(" ", text)).strip()
        if not text:
            return
        if kind == "heading":
            text = "#" * level + " " + text.replace("\n", " ")
        elif self.bullet and kind == "text":
            text, kind = self.bullet + text, "item"
        if self.quotes:
            text = "> " + text.replace("\n", "\n> ")
        self.bullet = ""
        sink = self.rows[-1][-1] if self.rows and self.rows[-1] else self.blocks
        sink.append(Block(kind, text, max(0, shown - linked), linked, level, self.chrome))

    def _end_row(self, own: list[list[Block]], reaches: list[Reach]) -> None:
        """One row of a table, or its cells one after the other where they hold more than a row should."""
        blocks = [block for cell in own for block in cell]
        cells = spread(own, reaches, self.above[-1] if self.above else {})
        sink = self.rows[-1][-1] if self.rows and self.rows[-1] else self.blocks
        plain = all(block.kind in ("text", "item") for block in blocks)
        texts = [" ".join(block.text for block in cell).replace("\n", " ") for cell in cells]
        if not plain or not blocks or sum(map(bool, texts)) < 2 or sum(map(len, texts)) > _ROW:
            sink += blocks
            return
        words, linked = sum(block.words for block in blocks), sum(block.linked for block in blocks)
        sink.append(Block("row", f"| {' | '.join(texts)} |", words, linked, chrome=blocks[0].chrome))


def _sign(tag: str, node: LexborNode, before: str) -> list[str]:
    """What is written where an element begins that says more than its text; `before` is the character in front of it."""
    if tag in _STRUCK:
        return ["~~"]
    if tag == "sup" and before.isalnum() and _RAISED.fullmatch(node.text()):
        return ["^"]
    if tag == "input" and node.attributes.get("type") in _TICKED:
        return ["[x] " if "checked" in node.attributes else "[ ] "]
    alt = _SPACE.sub(" ", node.attributes.get("alt") or "").strip() if tag == "img" else ""
    return [f"![{alt}]"] if len(alt) > _TELLING_ALT else []


def _is_chrome(node: LexborNode) -> bool:
    attributes = node.attributes
    if not attributes:
        return False
    if "hidden" in attributes or attributes.get("aria-hidden") == "true" or attributes.get("role") in _CHROME_ROLES:
        return True
    named = f"{attributes.get('class') or ''} {attributes.get('id') or ''}"
    return bool(_CHROME_NAME.search(named[:_NAMES])) or bool(_HIDDEN.search((attributes.get("style") or "")[:_NAMES]))


def _language(node: LexborNode) -> str:
    match = _LANGUAGE.search((node.attributes.get("class") or "")[:_NAMES])
    return match[1] if match else ""
