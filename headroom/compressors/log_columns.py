"""Templates of a folded log: which lines share one, and how its variable parts are written.

Lines whose text is equal but for words with digits share a template. Rare ones that differ in few
other words are put together, these words then being variable too. Every variable part is a column
over the lines of its template; a hole in the template's text says how its cells are to be read:

    <*>   the value; an empty cell is the value of the template's line before
    <~>   the same, but a cell replaces the end of that value; `=` before a cell says it is all of it
    <^1>  like <~>, against the last value of any hole <^1>
    <=2>  no cell: what the template's second cell stands for

What is the same in all lines, beginnings and ends of values too, is part of the template's text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

_MASK = "\x00"
VALUE = re.compile(r"\b[A-Za-z_]*+\d\w*+(?:[.:/+-]{1,3}[A-Za-z_]*+\d\w*+)*+", re.ASCII)
HOLE = re.compile(r"<(\*|~|[\^=]\d{1,4})>", re.ASCII)
_LONGEST = 2000  # characters of a line that is worth a template
_WORDS = 0.6  # share of words that lines put together have in common
_BUCKET = 16  # templates that a rare one is compared with
_RARE = 12  # lines up to which a template may be put together with others
_CHAINS = 3  # leading holes that may continue across templates: date, time, process
_JUDGED = 256  # lines by which the kind of a hole is chosen
_PIECE = re.compile(r"\d{1,3}|[^\W\d_]{1,5}|[^\w]{1,2}|_", re.ASCII)


@dataclass(slots=True)
class Form:
    """Lines that share a template: their numbers, and one list of values per line.

    `pieces` are the texts around the holes, one more than there are holes; `kinds` say how each
    hole is written, and `cells` are the columns of the holes that have some.
    """

    pieces: list[str]
    lines: list[int] = field(default_factory=list)
    values: list[Sequence[str]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    cells: list[Sequence[str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(f"{piece}<{kind}>" for piece, kind in zip(self.pieces, self.kinds, strict=False)) + self.pieces[-1]

    @property
    def literal(self) -> int:
        return sum(map(len, self.pieces))


def forms(lines: Sequence[str], wanted: Sequence[int]) -> list[Form]:
    """The templates of the wanted lines that pay, each with its columns."""
    alike = _alike(lines, wanted)
    found = [form for form in _together(list(alike.items()), lines) if _pays(form)]
    found = [form for form in found if _separate(form)]
    chained = _chained(found)
    for form in found:
        _choose(form, chained)
    return [form for form in found if not any("," in cell or not cell for column in form.cells for cell in column)]


def _pays(form: Form) -> bool:
    return (len(form.lines) - 1) * (form.literal - 4) > 24


def _alike(lines: Sequence[str], wanted: Sequence[int]) -> dict[str, list[int]]:
    """The wanted lines that may have a template, by their text with values masked."""
    alike: dict[str, list[int]] = {}
    masked = VALUE.sub(_MASK, "\n".join([lines[number] for number in wanted])).split("\n")
    for number, form in zip(wanted, masked, strict=True):
        line = lines[number]
        if 12 < len(line) <= _LONGEST and _MASK not in line and not ("<" in line and HOLE.search(line)):
            alike.setdefault(form, []).append(number)
    return alike


def _together(alike: Sequence[tuple[str, list[int]]], lines: Sequence[str]) -> Iterator[Form]:
    """Templates for all shapes; rare ones that agree in most words become one."""
    buckets: dict[tuple[int, str], list[tuple[list[str | None], list[tuple[str, list[int]]]]]] = {}
    for shape, numbers in alike:
        words = shape.split(" ")
        if len(numbers) > _RARE or len(words) < 3:
            yield _form(shape, numbers, lines)
            continue
        bucket = buckets.setdefault((len(words), words[0] if words[0].isalpha() else ""), [])
        for common, members in bucket:
            same = [word if word == other else None for word, other in zip(words, common, strict=True)]
            if len(words) - same.count(None) >= _WORDS * len(words):
                common[:] = same
                members.append((shape, numbers))
                break
        else:
            if len(bucket) < _BUCKET:
                bucket.append(([*words], [(shape, numbers)]))
            else:
                yield _form(shape, numbers, lines)
    for bucket in buckets.values():
        for common, members in bucket:
            if len(members) < 3:
                yield from (_form(shape, numbers, lines) for shape, numbers in members)
            else:
                yield _merged(common, members, lines)


def _form(shape: str, numbers: list[int], lines: Sequence[str]) -> Form:
    values: list[Sequence[str]] = [VALUE.findall(lines[number]) for number in numbers] if _MASK in shape else [()] * len(numbers)
    return Form(shape.split(_MASK), numbers, values)


def _merged(common: Sequence[str | None], members: Sequence[tuple[str, list[int]]], lines: Sequence[str]) -> Form:
    """One template for several shapes; a word that is None in `common` is a value as a whole."""
    pieces = " ".join([_MASK if word is None else word for word in common]).split(_MASK)
    form = Form(pieces)
    for number in sorted(number for _, numbers in members for number in numbers):
        values: list[str] = []
        for word, mask in zip(lines[number].split(" "), common, strict=True):
            if mask is None:
                values.append(word)
            elif _MASK in mask:
                values += VALUE.findall(word)
        form.lines.append(number)
        form.values.append(values)
    return form


def _separate(form: Form) -> bool:
    """Moves what is the same in all lines into the template's text; False where values cannot be told apart."""
    pieces, kinds = [form.pieces[0]], []
    cells: list[Sequence[str]] = []
    seen: dict[tuple[str, ...], int] = {}
    for place, (column, piece) in enumerate(zip(zip(*form.values, strict=True), form.pieces[1:], strict=True)):
        before = seen.get(column)
        if column.count(column[0]) == len(column):
            pieces[-1] += column[0] + piece
        elif before is not None:
            kinds.append(f"={before}")
            pieces.append(piece)
        else:
            kinds.append(f"*{place}")
            pieces.append(piece)
            cells.append(column)
            seen[column] = len(cells)
    form.pieces, form.kinds, form.cells = pieces, kinds, cells
    return not any(HOLE.search(piece) for piece in pieces)


def _chained(found: Sequence[Form]) -> frozenset[int]:
    """Which of the leading holes are closer to the line before than to the template's line before."""
    order = sorted([(number, at, row) for at, form in enumerate(found) for row, number in enumerate(form.lines)])
    columns = [_leading(form) for form in found]
    own, shared, last = [0] * _CHAINS, [0] * _CHAINS, [""] * _CHAINS
    step = len(order) // _JUDGED + 1
    for turn, (_, at, row) in enumerate(order):
        for place, column in columns[at]:
            value = column[row]
            if turn % step == 0:
                own[place] += min(_cost(tail(value, column[row - 1] if row else "")), _cost(value))
                shared[place] += _cost(tail(value, last[place]))
            last[place] = value
    return frozenset(place for place in range(_CHAINS) if shared[place] < own[place])


def _leading(form: Form) -> list[tuple[int, Sequence[str]]]:
    """The columns of a template's first holes, by the hole's place in the unfactored line."""
    places = [int(kind[1:]) for kind in form.kinds if kind[0] == "*"]
    return [(place, column) for place, column in zip(places, form.cells, strict=True) if place < _CHAINS]


def _choose(form: Form, chained: frozenset[int]) -> None:
    """Settles the kind of each hole, and takes common beginnings and ends out of its cells."""
    cell = 0
    around: list[tuple[str, str]] = []  # each cell
    for hole, kind in enumerate(form.kinds):
        if kind[0] == "=":
            begins, ends = around[int(kind[1:]) - 1]
            form.pieces[hole] += begins
            form.pieces[hole + 1] = ends + form.pieces[hole + 1]
            continue
        column, place = form.cells[cell], int(kind[1:])
        around.append(("", ""))
        plain = not any("=" in value for value in column)
        if place in chained and plain:
            form.kinds[hole] = f"^{place + 1}"
        else:
            begin, end = _common(column)
            around[-1] = column[0][:begin], column[0][len(column[0]) - end :]
            form.pieces[hole] += around[-1][0]
            form.pieces[hole + 1] = around[-1][1] + form.pieces[hole + 1]
            form.cells[cell] = column = [value[begin : len(value) - end] for value in column]
            form.kinds[hole] = "~" if plain and _follows(column) else "*"
        cell += 1


def _common(column: Sequence[str]) -> tuple[int, int]:
    """How many characters all values begin with and end with, at least one left between; whole words and numbers only."""
    low, high = min(column), max(column)
    most = min(map(len, column)) - 1
    begin = _shared(low, high, most)
    while begin and low[begin - 1].isdigit() and (low[begin].isdigit() or high[begin].isdigit()):
        begin -= 1
    backward = [value[::-1] for value in column]
    low, high = min(backward), max(backward)
    end = _shared(low, high, most - begin)
    while end and low[end - 1].isdigit() and (low[end].isdigit() or high[end].isdigit()):
        end -= 1
    return begin, end


def _shared(one: str, other: str, most: int) -> int:
    for at in range(most):
        if one[at] != other[at]:
            return at
    return max(0, most)


def _follows(column: Sequence[str]) -> bool:
    """Whether cells are shorter as ends of the value before."""
    judged = column[:_JUDGED]
    plain = sum([_cost(value) for value in judged])
    return sum([_cost(tail(value, before)) for value, before in zip(judged[1:], judged, strict=False)]) < 0.85 * plain


def _cost(cell: str) -> int:
    return len(_PIECE.findall(cell))


def tail(value: str, before: str) -> str:
    """The cell for a value: empty where it is the one before, its changed end where that is as long, else `=` and all of it."""
    if value == before:
        return ""
    if len(value) != len(before):
        return f"={value}" if before else value
    at = 0
    while value[at] == before[at]:
        at += 1
    start = at
    while start and value[start - 1].isalnum():
        start -= 1
    if at - start > 2 and value[start:at].isdigit():
        start = at - (at - start) % 3
    return value[start:]


def whole(cell: str, before: str) -> str:
    """The value that `tail` wrote."""
    if cell.startswith("="):
        return cell[1:]
    return before[: len(before) - len(cell)] + cell
