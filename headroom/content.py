"""Tells what kind of text a segment is, from bounded samples of it and from the tool call that printed it.

The answer chooses a compressor, which verifies it: a wrong guess costs a saving, never a text. The
call is evidence, the content decides: what a command promises is believed only if some of the
sampled lines agree. The cost does not grow with the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

Kind = Literal["json", "log", "search", "diff", "code", "html", "table", "prose", "base64", "unknown"]

_HEAD, _INNER = 8000, 3000  # characters sampled from the start, and from the middle and the end
_LINE = 300  # characters of a line looked at

_JSON = re.compile(
    r'\s*(?:\{\s*["}]|\[\s*(?:[{\[]\s*["{\[\]}\d-]|"|\]|(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)\s*[,\]]\s*(?![A-Za-z])))'
)
_JSON_LINE = re.compile(r'\{\s*(?:"|\}).*\}$|\[.*\]$')
_HTML = re.compile(r"\s*(?:<!--.{0,300}?-->\s*)?(?:<\?xml.{0,200}?>\s*)?<(?:!doctype html|html|head|body)\b", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(
    r"</?(?:div|p|a|span|li|ul|ol|td|tr|table|img|script|style|h[1-6]|br|meta|link|section|article|nav|button|svg|path)\b", re.IGNORECASE
)
_BASE64 = re.compile(r"(?:data:[\w/+.-]{1,60};base64,)?[A-Za-z0-9+/_-]{76,}")

_DIFF_HEAD = re.compile(
    r"diff --git |diff -\S* |@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@|--- \S|\+\+\+ \S|Index: \S|index [0-9a-f]{7,40}\.\.[0-9a-f]{7,40}"
)
_HUNK = re.compile(r"diff --git |@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@|@@@ -")

_PATH = r"(?:[A-Za-z]:[\\/])?[^\s:|\"'<>()\[\]{}=,;][^:|\"<>\t=;]{0,250}"
_NUMBERED_HIT = re.compile(rf"({_PATH}):\d+:")
_CONTEXT_HIT = re.compile(r"\S.{0,250}?-\d+-")
_BARE_HIT = re.compile(r"((?:[A-Za-z]:[\\/])?[\w.@+~$/\\-]{1,250}):(?! [^ ]|\d+ |//|:|$)")
_HEADED_HIT = re.compile(r"\d{1,7}[:-]")
_LOOKS_PATH = re.compile(r"[/\\]|\.[A-Za-z]\w{0,9}$|^[A-Z]\w*file$|^[A-Z]+$")
_NO_PATH = re.compile(r"[\d.:-]*$|https?$|^\d{1,4}[-/.]\d|^/?\d+\.\d+\.\d+\.\d+")
_PATH_LINE = re.compile(r"(?:\.{0,2}[/\\]|[A-Za-z]:[\\/])?[\w.@+~$ #()\[\]-]+(?:[/\\][\w.@+~$ #()\[\]-]+)*[/\\]?$")
_DIAGNOSTIC = re.compile(r":\d+:(?:\d+:)? *(?:fatal )?(?:error|warning|note|[A-Z]{1,3}\d{3,4})\b")

_CLOCK = r"\d\d:\d\d:\d\d"
_TIME = re.compile(
    r"[^A-Za-z]{0,3}(?:\d{4}[-/.]\d\d[-/.]\d\d[T _-]?\d\d[:.]\d\d"
    rf"|\d\d[-/.]\d\d(?:[-/.]\d\d(?:\d\d)?)? {_CLOCK}|{_CLOCK}"
    rf"|[A-Z][a-z]{{2}} [ \d]\d {_CLOCK}|[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d"
    r"|\d{6} \d{6} |1\d{9}(?:[.\s]|\d{3}\D)|[IWEF]\d{4} \d\d:)"
)
_TIME_INSIDE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\[\d\d/[A-Z][a-z]{2}/\d{4}:|\b(?:ts|time|timestamp)=\S*\d"
    rf"|^\{{.{{0,200}}\"(?:time|timestamp|ts)\":|\b1\d{{9}}\b|{_CLOCK}"
)
_TIME_SIGNS = re.compile(r"[:=]|1\d{9}")  # each time inside a line holds one of these
_LEVEL_WORD = re.compile(r"TRACE|DEBUG|INFO|NOTICE|WARN|ERROR|FATAL|CRITICAL|SEVERE|level|\[(?:debug|info|notice|warn|error)\]")
_LEVEL = re.compile(
    r"(?:^|[\s\[(|:<])(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|FATAL|CRITICAL|SEVERE)[\]\s:|)>,]"
    r"|\blevel=\w|\"level\":|\[(?:debug|info|notice|warn|error)\]"
)
_RUN_START = re.compile(
    r"={3,} .* ={3,}$|_{3,} .* _{3,}$|-{3,} .* -{3,}$"
    r"|(?:PASSED|FAILED|ERROR|SKIPPED) \S|=== RUN|\s*--- (?:PASS|FAIL|SKIP)"
    r"|(?:ok|not ok|FAIL|PASS)\s+\S|E  +\S|\s*at [\w.$<>]+[ (]|  File \"|Traceback \("
    r"|Caused by: |\+ \S|(?:npm|yarn|pip|cargo|gradle|mvn|make)\b[\w! \[\]0-9]*[:\]]|##\[|::(?:group|error|warning)"
    r"|\s+Compiling \S|Collecting \S|Step \d+/\d+|#\d+ |\[\d+/\d+\]|Successfully \S|Requirement already |\s*\d+%\|? "
)
_RUN_OUTCOME = re.compile(r" (?:PASSED|FAILED|SKIPPED|ERROR|XFAIL)\b")
_RUN_RESULT = re.compile(r" \.\.\. (?:ok|FAIL|ERROR|skipped)")
_FRAME = re.compile(
    r"\W{3,} ?test (?:session|process) starts|\W{3,} short test summary|Ran \d+ tests? in |=+ tests finished"
    r"|test result: (?:ok|FAILED)|Tests?: +\d"
)
_DIGITS = re.compile(r"\b[^\W\d]*+\d\w*")
_COLUMNS = re.compile(r"(?:[A-Z][A-Z0-9()_/%-]*(?: [A-Z]+)?(?:  +|\t|$)){2,}$")

_CODE_START = re.compile(
    r"\s*(?:(?:async )?def \w|class \w|from \S+ import|import [\w{*\"'(]|return\b|if\b.*[:{]$|elif\b|else\b"
    r"|for\b.*[:{]$|while\b.*[:{]$|try\b|except\b|raise \w|with\b.*:$|func\b|fn \w|pub\b|use \w|impl\b|let \w|const \w|var \w|function\b"
    r"|export\b|package \w|public\b|private\b|protected\b|static\b|struct \w|enum \w|interface \w|type \w+ |#include|#define|#if|#endif"
    r"|namespace \w|using \w|switch\b|case\b.*:|//|/\*|\*/|\* |@\w+|self\.|this\.|\"\"\"|[})\]]+[;,)]*$"
    r"|\w[\w.]*(?:\[[^\]]*\])? (?:[-+*/|]|:)?= )"
)
_CODE_END = re.compile(r".*(?:[\w\]]\((?! ).*\)[:,]?|\bthen|\bdo)$")
_NUMBERED_CODE = re.compile(r" {0,8}\d{1,7}(?:\t|\u2192|\||: |  )")
_SENTENCE = re.compile(r"[A-Za-z\u00c0-\uffff][^\s]*(?:\s+\S+){4,}|[#*>-]+ \S+(?: \S+)+|\S[^:]{0,40}: \S+(?: \S+){2,}")
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")

# (what the call says, the kind it promises)
_CODE_FILE = r"\.(?:py|pyi|js|jsx|ts|tsx|mjs|go|rs|java|kt|c|h|cc|cpp|hpp|cs|rb|php|swift|scala|sh|sql|lua)\b"
_CALLS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"\bgit (?:-\S+ )*(?:diff|show|format-patch)\b|\bgit log\b.*\s-p\b|\bdiff -", re.IGNORECASE), "diff"),
    (
        re.compile(r"\b(?:grep|rg|ripgrep|ag|ack|findstr|glob|find|search_files|search_code|grep_search|ls-files|fd)\b", re.IGNORECASE),
        "search",
    ),
    (
        re.compile(
            r"\bjournalctl\b|\bdmesg\b|\blogs?\b|\.log\b|_logs?\b|\bpytest\b|\bmake\b|\bnpm\b|\bcargo (?:test|build)|\bgo test\b"
            rf"|\btail\b(?!.*{_CODE_FILE})",
            re.IGNORECASE,
        ),
        "log",
    ),
    (re.compile(r"\.(?:csv|tsv)\b", re.IGNORECASE), "table"),
    (re.compile(_CODE_FILE, re.IGNORECASE), "code"),
    (re.compile(r"https?://|\bfetch\b|\.html?\b", re.IGNORECASE), "html"),
    (re.compile(r"\.(?:md|rst|txt|adoc)\b", re.IGNORECASE), "prose"),
)


def detect(text: str, tool: str, arguments: str) -> Kind:
    """The kind of `text`; `tool` and `arguments` name the call that printed it, empty when there was none."""
    head = text[:_HEAD]
    if not head.strip():
        return "unknown"
    lines = _sample(text)
    if _is_json(head, lines):
        return "json"
    if _is_html(head):
        return "html"
    if _is_base64(text[:1000]):
        return "base64"
    promised = _promised(tool, arguments)
    numbered = _share(lines, _NUMBERED_CODE.match) >= 0.9
    if promised == "code" and (numbered or _share(lines, _is_code_line) >= 0.3) and not _is_diff(lines):
        return "code"  # before the rest: a program may print logs and hold tables
    for kind, test in _TESTS:
        if test(lines, promised == kind):
            return kind
    return "unknown"


def _sample(text: str) -> list[str]:
    """Non-empty whole lines, cut to a bounded length, of the head, the middle and the end."""
    if len(text) <= _HEAD + 2 * _INNER:
        parts = [text]
    else:
        middle = len(text) // 2
        inner = (text[middle : middle + _INNER], text[-_INNER:])
        parts = [text[:_HEAD], *(part[part.find("\n") + 1 :] if "\n" in part else "" for part in inner)]
    lines = [line.rstrip("\r")[:_LINE] for part in parts for line in part.split("\n")]
    return [line for line in lines if line and not line.isspace()]


def _promised(tool: str, arguments: str) -> Kind | None:
    call = f"{tool.replace('_', ' ').replace('-', ' ')} {tool} {arguments[:2000]}"
    return next((kind for pattern, kind in _CALLS if pattern.search(call)), None)


def _share(lines: Sequence[str], test: Callable[[str], object]) -> float:
    return sum(1 for line in lines if test(line)) / max(1, len(lines))


def _is_json(head: str, lines: Sequence[str]) -> bool:
    if not _JSON.match(head):
        return len(lines) > 2 and _is_bracketed(lines[1:])  # one line of words before the document
    first = lines[0]
    if len(lines) == 1 or len(first) >= _LINE or not _JSON_LINE.match(first):
        return True
    return first.lstrip().startswith("[") or _share(lines, lambda line: len(line) >= _LINE or _JSON_LINE.match(line)) >= 0.9


def _is_bracketed(lines: Sequence[str]) -> bool:
    """Whether a document stands between a bracket that ends the first line and one that begins the last."""
    pair = lines[0].strip() + lines[-1].strip()
    return len(lines[0]) < _LINE and pair in ("{}", "[]", "[{}]")


def _is_html(head: str) -> bool:
    return bool(_HTML.match(head)) or (head.lstrip().startswith("<") and len(_TAG.findall(head)) >= 8)


def _is_base64(head: str) -> bool:
    first = head.split("\n", 1)[0].rstrip("\r")
    if not _BASE64.fullmatch(first):
        return False
    body = first.rsplit(",", 1)[-1]
    return len(set(body)) > 20 and any(map(str.isdigit, body)) and any(map(str.isupper, body)) and any(map(str.islower, body))


def _is_diff(lines: Sequence[str], promised: bool = False) -> bool:
    if not any(map(_HUNK.match, lines)):
        return False
    near = any(map(_DIFF_HEAD.match, lines if promised else lines[:40]))  # behind a long commit message
    return near and (promised or _share(lines, lambda line: line[0] in "+- @" or _DIFF_HEAD.match(line)) >= 0.6)


def _is_search(lines: Sequence[str], promised: bool) -> bool:
    if sum(1 for line in lines if _DIAGNOSTIC.search(line)) > 0.5 * len(lines):
        return False
    needed = 0.4 if promised else 0.6
    hits = [match[1] for match in map(_NUMBERED_HIT.match, lines) if match]
    paths = sum(1 for path in hits if _LOOKS_PATH.search(path) and not _NO_PATH.match(path))
    if hits and paths >= 0.8 * len(hits):
        around = sum(1 for line in lines if line == "--" or _CONTEXT_HIT.match(line)) if paths >= 0.05 * len(lines) else 0
        if paths + around >= needed * len(lines):
            return True
    return _is_headed(lines, promised) or _is_bare(lines, promised) or _is_path_list(lines, promised)


def _is_headed(lines: Sequence[str], promised: bool) -> bool:
    """`rg --heading`: a path on its own line, then `12:text` lines."""
    numbered = list(map(_HEADED_HIT.match, lines))
    heads = sum(
        1
        for line, here, after in zip(lines, numbered, numbered[1:], strict=False)
        if after and not here and _LOOKS_PATH.search(line) and " " not in line.strip()
    )
    return heads > 0 and sum(map(bool, numbered)) + heads >= (0.6 if promised else 0.8) * len(lines)


def _is_bare(lines: Sequence[str], promised: bool) -> bool:
    """`grep` without numbers: `path:text`, most paths more than once."""
    paths = [match[1] for match in map(_BARE_HIT.match, lines) if match and _LOOKS_PATH.search(match[1]) and not _NO_PATH.match(match[1])]
    return len(paths) >= (0.6 if promised else 0.8) * len(lines) and (promised or (len(paths) > 4 and len(set(paths)) < len(paths)))


def _is_path_list(lines: Sequence[str], promised: bool) -> bool:
    """`find`: one path per line."""
    if len(lines) < 5:
        return False
    whole = sum(1 for line in lines if ("/" in line or "\\" in line) and line.count(" ") < 3 and _PATH_LINE.match(line))
    return whole >= (0.8 if promised else 0.95) * len(lines)


def _is_log(lines: Sequence[str], promised: bool) -> bool:
    needed = max(3, (0.15 if promised else 0.4) * len(lines))
    if sum(map(_is_timed, lines)) >= needed or sum(map(_is_leveled, lines)) >= needed:
        return True
    if any(map(_FRAME.match, lines)) or _repeats(lines) >= (0.4 if promised else 0.7):
        return True
    run = sum(map(_is_run, lines))
    # a run's frame is few lines around code, tables and values
    return run > 2 and (run >= (0.05 if promised else 0.25) * len(lines) or (_is_run(lines[0]) and _is_run(lines[-1])))


def _is_timed(line: str) -> bool:
    if _TIME.match(line):
        return True
    near = line[:120]
    return not line.startswith(" ") and bool(_TIME_SIGNS.search(near) and _TIME_INSIDE.search(near))


def _is_leveled(line: str) -> bool:
    near = line[:160]
    return bool(_LEVEL_WORD.search(near) and _LEVEL.search(near))


def _is_run(line: str) -> bool:
    """Whether a line is one of a test run or a build."""
    if _RUN_START.match(line) or _RUN_RESULT.search(line):
        return True
    return not line[0].isspace() and bool(_RUN_OUTCOME.search(line))


def _repeats(lines: Sequence[str]) -> float:
    """The share of lines, of those with words, that differ from an earlier one in numbers and ids alone."""
    if len(lines) < 20:
        return 0.0
    shapes = _DIGITS.sub("", "\n".join(map(str.lstrip, lines))).split("\n")
    worded = [shape for shape in shapes if len(shape) > 8 and shape[0] not in '"{}[]<|-' and len(shape.strip()) > 8]
    return (len(worded) - len(set(worded))) / len(lines)


def _is_table(lines: Sequence[str], promised: bool) -> bool:
    rows = lines[:60]
    if len(rows) < 3:
        return False
    if _share(rows, lambda line: line.lstrip().startswith("|") and line.count("|") > 2) >= 0.8:
        return True
    if any(map(_COLUMNS.match, rows[:2])):
        return _share(rows, lambda line: line.count("  ") > 1) >= 0.8
    for separator in ("\t", ",", ";"):
        cells = rows[0].count(separator)
        if cells >= (1 if promised else 2) and not _TIME.match(rows[0]):
            same = _share(rows[:-1], lambda line, s=separator, n=cells: line.count(s) == n)  # type: ignore[misc]
            names = sum(1 for cell in rows[0].split(separator) if cell.strip() and len(cell) < 40 and cell.count(" ") < 4)
            if same >= (0.6 if promised else 0.9) and names >= 0.7 * (cells + 1):
                return True
    return False


def _is_code(lines: Sequence[str], promised: bool) -> bool:
    if _share(lines, _NUMBERED_CODE.match) >= 0.9 and len(lines) > 2:
        lines = [line[match.end() :] if (match := _NUMBERED_CODE.match(line)) else line for line in lines]
        lines = [line for line in lines if line.strip()]
        promised = promised or _share(lines, _is_code_line) >= 0.3
    return _share(lines, _is_code_line) >= (0.25 if promised else 0.45)


def _is_code_line(line: str) -> bool:
    last = line[-1]
    return last in ";{" or bool(_CODE_START.match(line)) or (last in "):,no" and bool(_CODE_END.match(line)))


def _is_prose(lines: Sequence[str], promised: bool) -> bool:
    words = _share(lines, lambda line: _SENTENCE.match(line.lstrip()) or len(_UNSPACED.findall(line)) > 5)
    return words >= (0.3 if promised else 0.5)


_TESTS: tuple[tuple[Kind, Callable[[Sequence[str], bool], bool]], ...] = (
    ("diff", _is_diff),
    ("search", _is_search),
    ("table", _is_table),
    ("log", _is_log),
    ("code", _is_code),
    ("prose", _is_prose),
)
