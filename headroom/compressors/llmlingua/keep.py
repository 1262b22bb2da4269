"""What of a prose text stays whatever a model says of it: the words whose loss would make the text say something else.

Numbers with their units, identifiers, URLs, paths, code, quoted strings, negations, question words, and what the question
names. Ranges of the text, linear in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from headroom.compressors import named

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # scripts without spaces
_GLUED = rf"[^\s{_UNSPACED}]"  # what belongs to a number or a name that it touches
_UNITS = (
    "ns|us|\u00b5s|ms|s|sec|secs|seconds?|min|mins|minutes?|h|hrs?|hours?|days?|weeks?|months?|years?|bits?|bytes?|[kKMGTP]i?[bB](?:/s)?"
    "|[kMG]bps|[kMG]?Hz|[kMG]?Wh?|m?V|m?A|\u00b0[CF]?|[\u00b5nmck]?m|[\u00b5mk]?g|m?l|lbs?|oz|ft|inch(?:es)?|miles?|percent|pct|"
    "USD|EUR|GBP|JPY|CHF|CNY|dollars?|euros?|pounds?|cents?|hundred|thousand|million|billion|trillion|times|tokens?|rps|qps|rpm|dB|px"
    "|Sekunden?|Minuten?|Stunden?|Tagen?|Tage?|Wochen?|Monaten?|Jahren?|Prozent|Euro|Millionen|Milliarden"
    "|secondes?|heures?|jours?|mois|ans?|segundos?|horas?|d\u00edas?|a\u00f1os?|por ciento|pour cent"
)
_NUMBER = rf"{_GLUED}*\d{_GLUED}*(?:[ \u00a0](?:[%\u2030\u20ac$\u00a3\u00a5]|(?:{_UNITS})\b))?"
_URL = r"(?:[a-z][a-z0-9+.-]{1,20}://|www\.)[^\s<>\"]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
_PATH = (
    rf"(?:~|\.{{1,2}}|\b[A-Za-z]:)?[/\\][\w.@+~$-]+(?:[/\\][\w.@+~$-]*)*|\b[\w.@+-]+(?:[/\\][\w.@+~$-]+){{2,}}{_GLUED}*"
    r"|\b[\w-]+\.[a-z]{1,5}\b(?!\.\w)"
)
_IDENTIFIER = (
    rf"{_GLUED}*\w_\w{_GLUED}*|_\w{_GLUED}*|\b[a-z]+[A-Z]\w*|\b[A-Z][a-z]+[A-Z]\w*|\b[A-Z]{{2,}}\w*\b|\w+::{_GLUED}+|\w+\(\)"
    rf"|(?<!\w)[@#$]\w+|(?<!\w)--?[a-z][\w-]*|\b\w+\.\w+\.\w{_GLUED}*"
)
_CODE = r"```.*?```|~~~.*?~~~|``[^`\n]+``|`[^`\n]+`"
_QUOTED = (
    r"\"[^\"\n]{1,80}\"|\u201c[^\u201d\n]{1,80}\u201d|\u201e[^\u201c\u201d\n]{1,80}[\u201c\u201d]|\u00ab[^\u00bb\n]{1,80}\u00bb"
    r"|\u300c[^\u300d\n]{1,80}\u300d|(?<!\w)'[^'\n]{1,80}'(?!\w)|\u2018[^\u2019\n]{1,80}\u2019(?!\w)"
)  # what is longer is speech
_LITERALS = re.compile(f"{_CODE}|{_URL}|{_QUOTED}|{_NUMBER}|{_PATH}|{_IDENTIFIER}", re.DOTALL)
_LITTLE_WORDS = re.compile(
    r"\b(?:"
    # negations
    r"no|not|nor|never|none|nobody|nothing|nowhere|neither|without|cannot|except|unless|hardly|\w+n['\u2019]t"
    r"|nicht|nichts|nie|niemals|niemand|ohne|weder|au\u00dfer|keine?[mnrs]?|nirgends"
    r"|ne|pas|jamais|aucune?|rien|sans|personne|ni|sauf|n['\u2019]\w+"
    r"|nunca|jam\u00e1s|ning\u00fan|ninguna?|ninguno|nada|nadie|sin|tampoco|excepto|n\u00e3o|nem|nenhuma?|sem|ningu\u00e9m"
    r"|non|mai|nessuna?|nessuno|niente|senza|niet|niets|geen|nooit|zonder|\u043d\u0435|\u043d\u0435\u0442|\u043d\u0438|\u0431\u0435\u0437|\u043d\u0438\u043a\u043e\u0433\u0434\u0430|\u043d\u0438\u0447\u0435\u0433\u043e"
    # question words
    r"|who|whom|whose|what|when|where|why|which|how|wer|wen|wem|wessen|wann|wo|warum|wieso|welche[mnrs]?|wie"
    r"|qui|quoi|quand|o\u00f9|pourquoi|quel(?:le)?s?|combien|qui\u00e9n(?:es)?|qu\u00e9|cu\u00e1ndo|d\u00f3nde|cu\u00e1l(?:es)?|c\u00f3mo|cu\u00e1nto"
    r"|quem|quando|onde|quanto|chi|cosa|dove|perch\u00e9|quale|\u043a\u0442\u043e|\u0447\u0442\u043e|\u043a\u043e\u0433\u0434\u0430|\u0433\u0434\u0435|\u043f\u043e\u0447\u0435\u043c\u0443|\u043a\u0430\u043a\u043e\u0439|\u043a\u0430\u043a"
    r")\b"
    r"|[\u4e0d\u6ca1\u6c92\u65e0\u7121\u975e\u672a\u522b\u52ff]|(?:\u306a\u3044|\u306a\u304b\u3063|\u306a\u304f|\u307e\u305b\u3093|\u305a\u306b)"
    r"|(?:\u4ec0\u4e48|\u4f55\u6642|\u8c01|\u54ea|\u600e|\u4e3a\u4ec0\u4e48|\u306a\u305c|\u3044\u3064|\u3069\u3053|\u8ab0|\u4f55)|(?:\uc548|\ubabb|\uc5c6|\uc544\ub2c8)\w*",
    re.IGNORECASE,
)
_ENTITY = re.compile(
    r"(?<=[\w,;:] )[A-Z\u00c0-\u00de\u0400-\u042f][\w\u00c0-\u024f\u0400-\u04ff'-]{2,}|[\u30a0-\u30ff]{3,}|[\u4e00-\u9fff]{2,8}"
)
_MOST_ENTITIES = 48
_LONGEST = 4000  # characters of a span that is still one thing

Span = tuple[int, int]


def must_keep(text: str, question: str = "") -> list[Span]:
    """Disjoint ranges of the text, ascending; none is empty, none begins or ends with white space."""
    return _merged(_spans(text, question))


def missing(text: str, spans: Iterable[Span], shorter: str) -> str | None:
    """The first of these ranges of `text` that does not stand in `shorter`, in its order; None when all do."""
    at = 0
    for start, end in spans:
        found = shorter.find(text[start:end], at)
        if found < 0:
            return text[start:end]
        at = found + end - start
    return None


def _spans(text: str, question: str) -> Iterator[Span]:
    for pattern in (_LITERALS, _LITTLE_WORDS):
        for match in pattern.finditer(text):
            if match.end() - match.start() <= _LONGEST:
                yield match.span()
    for name in entities(question):
        yield from _whole(text, name)


def entities(question: str) -> tuple[str, ...]:
    """What a question names: identifiers, numbers, quoted strings, and words with a capital inside a sentence."""
    capital = dict.fromkeys(match[0] for match in _ENTITY.finditer(question[:6000]))
    return (*named.names(question), *tuple(capital)[:_MOST_ENTITIES])


def _whole(text: str, name: str) -> Iterator[Span]:
    """Where the name stands and is no part of a longer word."""
    at = text.find(name)
    while at >= 0:
        end = at + len(name)
        inside = _joined(text, at - 1, name[0]) or _joined(text, end, name[-1])
        if not inside:
            yield at, end
        at = text.find(name, end)


def _joined(text: str, at: int, edge: str) -> bool:
    return 0 <= at < len(text) and edge.isascii() and edge.isalnum() and text[at].isalnum() and text[at].isascii()


def _merged(spans: Iterable[Span]) -> list[Span]:
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif end > start:
            result.append((start, end))
    return result
