"""Whether two questions have the same answer, decided by their words: the check behind every hit that vectors propose.

Vectors of a question and its reversal, its negation, or the same with another number are nearly the same, with any model; no
threshold tells them apart. Here every word of both counts: they agree only if all that remains between them are differences
that a closed list calls harmless. When in doubt they do not.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from headroom.cache import lexicon
from headroom.cache.reading import Reading, Word, read, verbs_of

_SAME_ACTS = frozenset(("what", "define"))
_MAX_CHARS = 4000


def disagreement(one: str, other: str) -> str:
    """Why two questions may have different answers, one word; empty when they have the same. Symmetric, pure, linear.

    `quoted`, `numbers`, `identifiers`, `negation`, `case`, `mood`, `act`, `words` or `order`.
    """
    if one == other:
        return ""
    if max(len(one), len(other)) > _MAX_CHARS:
        return "words"
    return between(read(one), read(other))


def between(a: Reading, b: Reading) -> str:
    """The same for questions that were read."""
    return _exact(a, b) or _case(a, b) or _asked(a, b) or _compared(a, b)


def _exact(a: Reading, b: Reading) -> str:
    """What must be the same to the letter."""
    if sorted(a.exact) != sorted(b.exact):
        odd = set(a.exact) ^ set(b.exact)
        if any(word[1:2].isdigit() or word[1:2] in "+-" for word in odd):
            return "numbers"
        return "quoted" if any(word[1:2] in "`\"'" for word in odd) else "identifiers"
    return "negation" if a.negations != b.negations else ""


def _case(a: Reading, b: Reading) -> str:
    """Capitals make another word of some: `us` and `US`, `polish` and `Polish`. What begins a sentence may be either."""
    careless = any(all(forms <= {"", word} for word, forms in side.cases.items()) for side in (a, b))  # no capitals anywhere
    for word in a.cases.keys() & b.cases.keys():
        forms, others = a.cases[word], b.cases[word]
        written = (forms | others) - {""}
        if forms == others or written <= {word}:
            same = len(word) > 1 or word in "ai" or forms == others
        elif word in lexicon.OTHER_WITH_CAPITAL or len(word) == 1:
            same = False
        else:
            same = careless or word in lexicon.ANY_CASE or "" in forms | others
        if not same:
            return "case"
    return ""


def _asked(a: Reading, b: Reading) -> str:
    if a.literal != b.literal:
        return "words"
    acts = {a.act.rstrip("?"), b.act.rstrip("?")}
    if len(acts) > 1 and not acts <= _SAME_ACTS:
        return "act"
    if len(acts) > 1 and any((r.act == "what" and r.aux not in ("is", "are", "")) or _definite(r) for r in (a, b)):
        return "act"
    return "mood" if not a.act and {a.mood, b.mood} == {"?", "."} else ""


def _definite(one: Reading) -> bool:
    """Whether it asks about the one that is meant, which to explain is more than to say what it is."""
    return bool(one.words) and one.words[0].article == "the"


def _compared(a: Reading, b: Reading) -> str:
    """The words in their order."""
    if len(a.words) != len(b.words):
        return "words"
    odd = [place for place, (x, y) in enumerate(zip(a.words, b.words, strict=True)) if x.text != y.text]
    if odd and sorted(w.text for w in a.words) == sorted(w.text for w in b.words):
        return "order"
    inflected, generic = _done(a.aux, b.aux), set()
    for place in odd:
        start = _kind_from(a.words, b.words, place)
        if start is not None:
            generic.add(start)
        elif place == 0 and a.act == b.act == "how to" and verbs_of(a.words[0].text) & verbs_of(b.words[0].text):
            continue
        elif inflected and _inflections(inflected, a.words[place].text, b.words[place].text):
            inflected = ""
        else:
            return "words"
    if not _auxiliaries(a, b, generic):
        return "words"
    task = a.act == b.act == "how to"
    for place, (x, y) in enumerate(zip(a.words, b.words, strict=True)):
        if x.article != y.article and place not in generic and not _articles(x, y, task):
            return "words"
    return ""


def _articles(x: Word, y: Word, task: bool) -> bool:
    """Where one asks how to do something, `close the valve` and `close valve` are the same; elsewhere `the time` and `time` are not."""
    pair = {x.article, y.article}
    return pair <= {"a", "an"} or (task and "" in pair)


def _kind_from(one: Sequence[Word], other: Sequence[Word], place: int) -> int | None:
    """Where `a black hole` or `black holes` begins, which mean any of that kind; None when the word at `place` differs otherwise."""
    if {"many", "much"} & {word.text for word in one[:place]}:
        return None
    x, y = one[place].text, other[place].text
    single, plural = (x, y) if len(x) < len(y) else (y, x)
    forms = {f"{single}s", f"{single}es", f"{single[:-1]}ies" if single.endswith("y") else ""}
    if len(single) < 3 or not single.isalpha() or plural not in forms or {x, y} & lexicon.PLURAL_IS_ANOTHER_WORD:
        return None
    singles, plurals = (one, other) if x == single else (other, one)
    for start in range(place, max(-1, place - 3), -1):
        if singles[start].article or plurals[start].article:
            kind = singles[start].article in ("a", "an") and not plurals[start].article
            return start if kind and singles[start].text not in lexicon.JUDGING else None
    return None


def _auxiliaries(a: Reading, b: Reading, generic: Set[int]) -> bool:
    if a.aux == b.aux:
        return True
    pair = {a.aux, b.aux}
    if a.act != b.act and pair <= {"is", "are", ""}:
        return True
    if pair == {"is", "are"}:
        return bool(generic)
    if pair == {"do", "does"}:
        return bool(generic)
    if pair <= {"is", "are", ""} and a.act == "what":
        return True
    return "" in pair and bool(pair & lexicon.DO) and bool(_done(a.aux, b.aux))


def _done(one: str, other: str) -> str:
    """The form of `do` that one of the two has where the other inflects its verb."""
    pair = {one, other}
    return next(iter(pair - {""}), "") if "" in pair and pair & lexicon.DO else ""


def _inflections(do: str, one: str, other: str) -> bool:
    plain, inflected = sorted((one, other), key=len)
    if do == "does":
        return inflected in (f"{plain}s", f"{plain}es") or (plain.endswith("y") and inflected == f"{plain[:-1]}ies")
    return do == "did" and any(plain in verbs_of(form) for form in (one, other) if form != plain)
