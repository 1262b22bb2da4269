"""Takes a log apart: lines, the shape behind each line, how severe it is, and which lines form one event.

A masked line has every word that holds a digit (numbers, ids, addresses, times) replaced by a
hole; lines with the same masked form share a shape. Shapes that differ in few words share a
template. All costs beyond one pass over the text are paid per distinct shape, not per line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HOLE = "<*>"
ERROR, WARNING, PLAIN = 2, 1, 0
_LOOKED_AT = 600  # characters of a masked line that decide its shape and severity
_MERGED = 4000  # shapes beyond this many are their own templates
_BUCKET = 24  # templates a shape is compared with
_ALIKE = 0.7  # share of words that must agree within a template

_DIGITS = re.compile(r"\b[A-Za-z_]*+\d\w*+(?:[.:,/+-]{1,3}[A-Za-z_]*+\d\w*+)*+", re.ASCII)
_GLOG = re.compile(r"^([IWEF])(?=\d{4} \d\d:)", re.MULTILINE)
_PINO = re.compile(r'"level":([1-6])0\b')
_PINO_NAMES = ("", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_EXIT = re.compile(r"\bexit(?:ed)?(?: with)?(?: code| status| value)?[ :=]{1,2}(?:code[ :=]{1,2})?-?[1-9]", re.IGNORECASE)

_LEVEL = re.compile(
    r"(?<![A-Za-z_])(?:(TRACE|DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|ERR|FATAL|CRITICAL|CRIT|SEVERE|PANIC|ALERT|EMERG)(?![A-Za-z_])"
    r"|(?:\[|level\W{1,3})(trace|debug|info|notice|warning|warn|error|err|fatal|critical|crit|severe|panic|alert|emerg)\b)"
)
_LETTER_LEVEL = re.compile(r"^(?:([IWEF])<\*> |(?:<\*> +){2,4}([VDIWEF]) [\w.]+ *:)")
_LETTERS = {"V": "TRACE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR", "F": "FATAL"}
_ALIASES = {"WARNING": "WARN", "ERR": "ERROR", "CRIT": "CRITICAL"}
_SEVERE = frozenset(("ERROR", "FATAL", "CRITICAL", "SEVERE", "PANIC", "ALERT", "EMERG"))
# Where a masked line of a test run says what became of a test, whatever words are in the test's name:
_FAILED = re.compile(
    r"^\W*not ok\b(?!.*# *(?:TODO|SKIP)\b)|(?:^|\s)[✕✗✘✖❌]|^\s*\u00d7"
    r"|\bFAIL(?:ED|URE)?\b(?!\W{1,4}<\*>)|\*\*\*(?:Failed|Timeout|Exception)"
)
_PASSED = re.compile(
    r"^\s*(?:not )?ok(?: <\*>|:|\s*\t|  )|^\W*PASS(?:ED)?\b|^\W*\[ *(?:OK|ok|PASS|PASSED) *\]|(?:^|\s)[✓√✔✅]|^test result: ok\b"
    r"|(?:\.\.|…) *(?:(?:ok|OK)\b|Passed +<\*>)|\bPASS(?:ED)?(?: *[(\[]? *<\*>[ %]*\w{0,4}[)\]]?)?\s*$|HTTP/<\*>\"? <\*> OK\b"
    r"|^=== (?:RUN|PAUSE|CONT|NAME)|^collecting "
)
_SUMMARY = re.compile(r"\b(?:passed|passing|tests? run|examples?|succeeded|ok=<\*>)(?!\w)", re.IGNORECASE)
_COUNTS = re.compile(
    r"<\*> (?:tests? )?(?:failed|failing|failures?|errors?)\b|\b(?:failed|failures?|errors?|unreachable)(?::|=) *<\*>", re.IGNORECASE
)
_COUNTED = re.compile(
    r"(?<![\w.])[1-9]\d* (?:tests? )?(?:failed|failing|failures?|errors?)\b|\b(?:failed|failures?|errors?|unreachable)(?::|=) *[1-9]",
    re.IGNORECASE,
)
_BAD = re.compile(
    r"(?:error|exception)s?\b|\b(?:fatal|traceback|panic(?:ked)?|fail(?:ed|ures?|ing|s)?|crash(?:ed)?|abort(?:ed|ing)?|core dumped"
    r"|seg(?:mentation )?fault|out of memory|killed|denied|refused|unreachable|timed out|could ?n[o']t|can ?not|can't|unable to"
    r"|no such file|undefined (?:reference|symbol))\b|^E  +\S",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:no|without) (?:errors?|exceptions?|failures?)\b|\berrors?\W{1,3}(?:none|null|nil|false)\b", re.IGNORECASE)
_WARNING = re.compile(r"\bwarn(?:ing)?s?\b|\bdeprecat", re.IGNORECASE)
_CONTINUED = re.compile(r"[ \t]|Caused by: |\.\.\. \d+ more|Traceback |goroutine \d|}|$|[\w$]+\.[\w.$]*(?:Exception|Error)\b")


@dataclass(frozen=True, slots=True)
class Mined:
    """A log taken apart; every list but the last four has one entry per line, those have one per shape or template.

    `shape` and `template` are ids in order of first appearance, `event` is the line that starts the
    event (an entry with its continuation lines, a stack trace) which the line belongs to.
    `name` is the text of a template, `level` and `severity` belong to a shape; `bad` are single
    lines that are errors whatever their shape: failed exits, and summaries that count a failure.
    """

    lines: list[str]
    shape: list[int]
    template: list[int]
    event: list[int]
    name: list[str]
    level: list[str]
    severity: list[int]
    bad: frozenset[int]

    def severity_of(self, line: int) -> int:
        return ERROR if line in self.bad else self.severity[self.shape[line]]

    def is_unnamed_error(self, line: int) -> bool:
        """Whether a line speaks of an error that its level, if it has one, does not tell."""
        return self.severity_of(line) == ERROR and self.level[self.shape[line]] not in _SEVERE


def mine(text: str) -> Mined:
    """Shapes, templates, levels and events of a text of any kind; linear."""
    lines = text.split("\n")
    masked = _mask(text).split("\n")
    ids: dict[str, int] = {}
    shape = [ids.setdefault(line[:_LOOKED_AT], len(ids)) for line in masked]
    shapes = list(ids)
    level = [_level(form) for form in shapes]
    severity = [_severity(form, level[number]) for number, form in enumerate(shapes)]
    template_of, name = _templates(shapes)
    return Mined(
        lines,
        shape,
        [template_of[number] for number in shape],
        _events(lines, shape, shapes),
        name,
        level,
        severity,
        _failed_exits(text) | _counted_failures(lines, shape, shapes),
    )


def _mask(text: str) -> str:
    """The text with its holes; as many lines as before."""
    if _GLOG.match(text):
        text = _GLOG.sub(r"\1 ", text)
    if '"level":' in text:
        text = _PINO.sub(lambda match: f'"level":"{_PINO_NAMES[int(match[1])]}"', text)
    return _DIGITS.sub(HOLE, text)


def _failed_exits(text: str) -> frozenset[int]:
    if "exit" not in text.lower():
        return frozenset()
    found = set()
    line = position = 0
    for match in _EXIT.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        found.add(line)
    return frozenset(found)


def _counted_failures(lines: Sequence[str], shape: Sequence[int], shapes: Sequence[str]) -> frozenset[int]:
    """The summaries of test runs that count at least one failure: they look like those that count none."""
    summaries = {number for number, form in enumerate(shapes) if _SUMMARY.search(form) and _COUNTS.search(form)}
    if not summaries:
        return frozenset()
    return frozenset(line for line, number in enumerate(shape) if number in summaries and _COUNTED.search(lines[line][:_LOOKED_AT]))


def _level(form: str) -> str:
    match = _LEVEL.search(form[:300])
    if match:
        word = (match[1] or match[2]).upper()
        return _ALIASES.get(word, word)
    letter = _LETTER_LEVEL.match(form)
    return _LETTERS[letter[1] or letter[2]] if letter else ""


def _severity(form: str, level: str) -> int:
    if level in _SEVERE:
        return ERROR
    bad = bool(_FAILED.search(form)) or (_is_bad(form) and not _DENIED.search(form) and not _PASSED.search(form))
    if level:
        return WARNING if bad or level == "WARN" else PLAIN
    return ERROR if bad else WARNING if _WARNING.search(form) else PLAIN


def _is_bad(form: str) -> bool:
    """Whether a line speaks of an error; how many failures a summary counts is seen in the line itself."""
    found = bool(_BAD.search(form))
    return bool(_BAD.search(_COUNTS.sub("", form))) if found and _SUMMARY.search(form) else found


def _templates(shapes: Sequence[str]) -> tuple[list[int], list[str]]:
    """The template of each shape, and the templates' texts. Drain's idea: same length, same first word, most words alike."""
    buckets: dict[tuple[int, str], list[tuple[int, list[str]]]] = {}
    merged: list[list[str]] = []
    of_shape: list[int] = []
    for number, form in enumerate(shapes):
        words = form.split(" ")
        first = next((word for word in words[:6] if word.isalpha()), "")
        bucket = buckets.setdefault((len(words), first), [])
        found = next((entry for entry in bucket if _alike(entry[1], words)), None) if number < _MERGED and len(words) > 3 else None
        if found is None:
            found = (len(merged), words)
            merged.append(words)
            if len(bucket) < _BUCKET:
                bucket.append(found)
        else:
            template = found[1]
            for at, word in enumerate(words):
                if template[at] != word:
                    template[at] = HOLE
        of_shape.append(found[0])
    return of_shape, [" ".join(words) for words in merged]


def _alike(template: Sequence[str], words: Sequence[str]) -> bool:
    same = sum(map(str.__eq__, template, words))
    return same >= _ALIKE * len(words)


def _events(lines: Sequence[str], shape: Sequence[int], shapes: Sequence[str]) -> list[int]:
    """For each line the line that starts its event: an indented line, or a known continuation, belongs to the one before."""
    continued: Callable[[str], object] = _CONTINUED.match
    joins = [bool(continued(form)) for form in shapes]
    events: list[int] = []
    start, trace = 0, False
    for number, line in enumerate(lines):
        if not joins[shape[number]]:
            if trace:  # the exception's own line ends a Python traceback
                trace = False
                events.append(start)
                continue
            start = number
        if line.startswith("Traceback (") or (trace and not line):
            trace = line != ""
        events.append(start)
    return events
