"""What in a conversation says nothing new, in tokens by kind: an estimate by characters, for reports. Sans-I/O, linear.

Kinds overlap; their sum says nothing. `dynamic_date` counts only what stands in the system prompt, where a date or an id that
changes from request to request costs the provider's prompt cache everything behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

KINDS = ("json_bloat", "html_noise", "base64", "whitespace", "dynamic_date", "repetition")
_CHARS_PER_TOKEN = 4
_LEAST_LINE = 20  # characters of a line whose repetition counts
_KEY = re.compile(r'"[^"\\\n]{1,80}"\s*:')
_TAG = re.compile(r"<!--[^>]*-->|</?[A-Za-z][^<>]{0,2000}>")
_LONG = 200  # characters of base64 that are data, not a name
_BASE64 = re.compile(rf"[A-Za-z0-9+/]{{{_LONG},}}={{0,2}}")
_DYNAMIC = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE
)


def signals(texts: Iterable[str], system: Iterable[str] = ()) -> Mapping[str, int]:
    """Tokens of every kind, also of those there is nothing of."""
    chars: Counter[str] = Counter()
    for text in texts:
        chars["json_bloat"] += _json_bloat(text)
        chars["html_noise"] += sum(map(len, _TAG.findall(text)))
        chars["repetition"] += _repetition(text)
        words = text.split()
        sizes = list(map(len, words))
        chars["whitespace"] += max(0, len(text) - sum(sizes) - len(sizes))  # one blank behind each word says something
        if max(sizes, default=0) >= _LONG:
            chars["base64"] += sum(map(len, _BASE64.findall(text)))
    chars["dynamic_date"] = dynamic_chars(system)
    return {kind: -(-chars[kind] // _CHARS_PER_TOKEN) for kind in KINDS}


def dynamic_chars(texts: Iterable[str]) -> int:
    """Characters of dates, times and ids."""
    return sum(len(found) for text in texts for found in _DYNAMIC.findall(text))


def _json_bloat(text: str) -> int:
    """Characters of keys that stand there again."""
    if text.lstrip()[:1] not in ("{", "["):
        return 0
    keys = Counter(_KEY.findall(text))
    return sum(len(key) * (count - 1) for key, count in keys.items())


def _repetition(text: str) -> int:
    """Characters of lines that stand there again."""
    lines = Counter(line for line in text.splitlines() if len(line) >= _LEAST_LINE)
    return sum(len(line) * (count - 1) for line, count in lines.items())
