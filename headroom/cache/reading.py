"""A question as far as its answer depends on it: an act, and the words in order, what is said in many ways said in one.

Everything is done by closed lists (`headroom.cache.lexicon`): a wording that none of them knows keeps all its words, so two
questions read the same only where every difference between them is a listed one. What must be the same to the letter (quoted
text, code, identifiers, numbers with what belongs to them) is one word that no rule looks into.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from headroom.cache import frames, lexicon

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2032": "'", "\u00a0": " ", "\u2013": "-"})
_TOKEN = re.compile(r"\n+|`[^`]+`|\"[^\"]+\"|(?<![\w'])'[^'\n]+'(?![\w'])|[^\s\"`]+|[\"`]")
_EDGES = re.compile(r"^([(\[{]*)(.*?)([)\]},.!?;:]*)$", re.DOTALL)
_BRACKETS, _STOPS, _MARKS = frozenset("()[]{}"), frozenset(".!?"), ",.!?;:"
_EMPHASIS = re.compile(r"\.+|!+|\?+")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*(?:-[^\W\d_]+(?:'[^\W\d_]+)*)*'?")
_NUMBER = re.compile(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?")
_WITH_UNIT = re.compile(r"(\d+(?:,\d{3})*(?:\.\d+)?)([a-zA-Z]+|%)")
_GREETING = re.compile(
    r"^\s*(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings|ok|okay|so|well)(?: there| all| everyone| again)?"
    r"\s*(?:,|:|\.+|!+)(?![,.!?:])\s*",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"(?<=[,.!?\n])\s*(?:many )?(?:thanks|thank you|thx|cheers)(?: (?:so|very) much| a lot| in advance)*\s*[.!]*\s*$", re.IGNORECASE
)
_ADJUNCT = re.compile(
    r"^((?:in|on|for|with|using|when using|inside|within|at|by using) [^,?.!:]{1,40}), (?=\S+ \S)(.+?(?<=[^\s?.!]))([?.!]*)$",
    re.IGNORECASE | re.DOTALL,
)
_IN_TWO = re.compile(
    r"^(?:i|we)(?:'d like| would like| want| need| have|'m trying| am trying) to ([^.!?\n]+)[.,!;] how (?:do|can|could|would) (?:i|we) do "
    r"(?:that|it|this|so)\?*$",
    re.IGNORECASE,
)
_EXACT = "\x02"  # begins a word that no rule looks into
_END = f"{_EXACT}\x05"  # and the end of a sentence, with its marks


@dataclass(frozen=True, slots=True)
class Word:
    """`text` is canonical; `article` is what stood before it."""

    text: str
    article: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """`act` is what is asked for; `exact` and `negations` are taken from the text as it came, before any rule."""

    act: str
    aux: str
    words: tuple[Word, ...]
    exact: tuple[str, ...]
    negations: int
    mood: str
    cases: dict[str, frozenset[str]]
    literal: bool


def read(text: str) -> Reading:
    """Linear in the text, microseconds a word."""
    text = unicodedata.normalize("NFC", text).translate(_QUOTES).strip()
    raw = list(_tokens(_bare(text)))
    exact = tuple(word for word in raw if word.startswith(_EXACT))
    lowered = [word if word.startswith(_EXACT) else word.casefold() for word in raw]
    plain = _expanded(lowered)
    negations = sum(word in lexicon.NEGATIONS for word in plain)
    literal = any(word in lexicon.ABOUT_WORDS for word in plain) or any(_is_quote(word) for word in exact)
    act, rest = _act(" ".join(_filled(plain, literal)), literal)
    tokens = rest.split()
    aux, tokens = ("", tokens) if literal else _uninverted(act, tokens)
    act = "whether" if aux and not act else act
    return Reading(act, aux, tuple(_words(tokens, literal)), exact, negations, _mood(text), _cases(raw), literal)


def _bare(text: str) -> str:
    """Without a greeting and thanks; a place or tool named first, before a comma, goes to the end."""
    text = _THANKS.sub("", _GREETING.sub("", text)).strip()
    text = _IN_TWO.sub(r"how to \1", text)
    moved = _ADJUNCT.match(text)
    return f"{moved[2]} {moved[1][0].lower()}{moved[1][1:]}{moved[3]}" if moved and "," not in moved[2] and "\n" not in text else text


def _tokens(text: str) -> Iterator[str]:
    found = list(_TOKEN.finditer(text))
    for before, match, after in zip([None, *found], found, [*found[1:], None], strict=False):
        token, following = match[0], after[0] if after else ""
        if token.startswith("\n"):
            yield f"{_EXACT}line"
        elif _is_quoted(token):
            yield _EXACT + token.replace(" ", "\x03")
        elif before and before.end() == match.start() and _is_quoted(before[0]):
            yield from _chunk(token, not following, before[0])
        elif token in _STOPS and _ends(before[0] if before else "", token, following):
            yield from _end(token, not following)
        else:
            yield from _chunk(token, not following)


def _is_quoted(token: str) -> bool:
    return len(token) > 1 and token[0] in "`\"'" and token[-1] == token[0]


def _ends(before: str, mark: str, after: str) -> bool:
    """Whether a mark that stands alone ends a sentence: nothing or a capital follows, and what precedes does not call for a name."""
    if (after and not after[0].isupper()) or before.casefold() in lexicon.CALLS_FOR_A_NAME or not before.strip(_MARKS):
        return False
    return not (mark == "!" and _may_be_multiplied(before))


def _may_be_multiplied(core: str) -> bool:
    """Whether `!` behind it may be the factorial: a number, a letter, something in brackets."""
    bare = core.strip("`\"'")
    return len(bare) < 2 or bare[-1] in _BRACKETS or bare[-1].isdigit()


def _end(marks: str, last: bool) -> Iterator[str]:
    """The end of a sentence; at the end of the text it says nothing."""
    if marks and not last:
        yield _END + marks


def _chunk(token: str, last: bool, quoted: str = "") -> Iterator[str]:
    """A run without spaces: brackets and marks around it, and a word, a number, or something that is kept as it is.

    `quoted` is what it stands right behind.
    """
    edges = _EDGES.match(token)
    before, core, after = edges.groups() if edges else ("", token, "")
    if not core and not quoted:
        bracketed = last and len(token) > 1 and token[-1] in _STOPS and token[-2] in _BRACKETS
        yield _EXACT + (token[:-1] if bracketed else token)  # an operator, or brackets with nothing inside
        return
    yield from (_EXACT + mark for mark in before)
    if core:
        yield from _core(core)
    inner = after.rstrip(_MARKS)
    yield from (_EXACT + mark for mark in inner if mark in _BRACKETS)
    yield from _behind(inner[-1:] or core or quoted, after[len(inner) :], last)


def _behind(core: str, marks: str, last: bool) -> Iterator[str]:
    """Marks behind a word: those of a sentence, and those that may belong to the word, as in `n!`, `std::` and `save!?`."""
    if "::" in marks or ";;" in marks:
        yield _EXACT + marks
        return
    stops = "".join(mark for mark in marks if mark in _STOPS)
    if last and stops.startswith("!") and _may_be_multiplied(core):
        yield _EXACT + (stops.rstrip(".?") or stops)
    elif last and len(stops) > 1 and not (core.islower() and _EMPHASIS.fullmatch(stops)):
        yield _EXACT + stops[:-1]
    else:
        yield from _end(stops, last)


def _core(core: str) -> Iterator[str]:
    unit = _WITH_UNIT.fullmatch(core)
    if unit:
        yield from (_EXACT + _number(unit[1]), _EXACT + lexicon.UNITS.get(unit[2], unit[2]))
    elif _NUMBER.fullmatch(core):
        yield _EXACT + _number(core)
    elif _WORD.fullmatch(core) and not any(a.islower() and b.isupper() for a, b in itertools.pairwise(core)):
        yield from core.split("-") if core.casefold() not in lexicon.SYNONYMS else (core,)
    elif core.casefold() in lexicon.SYNONYMS or f"{core.casefold()}." in lexicon.SYNONYMS:
        yield core if core.casefold() in lexicon.SYNONYMS else f"{core}."
    else:
        yield _EXACT + core


def _number(literal: str) -> str:
    return literal.replace(",", "")


def _is_quote(word: str) -> bool:
    return len(word) > 2 and word[1] in "`\"'"


def _expanded(words: list[str]) -> list[str]:
    """Contractions in full, number words as digits, units behind a number in one spelling."""
    out: list[str] = []
    for word in words:
        if word in lexicon.CONTRACTIONS:
            out += lexicon.CONTRACTIONS[word].split()
            continue
        ending, more = next(((end, more) for end, more in lexicon.ENDINGS if word.endswith(end) and len(word) > len(end)), ("", ""))
        if ending:
            out += [word.removesuffix(ending), *more.split()]
        elif word.endswith("'s") and len(word) > 2:
            out += [word[:-2], "'s"]
        elif word in lexicon.NUMBERS and word not in lexicon.QUANTITIES:
            out.append(_EXACT + lexicon.NUMBERS[word])
        elif out and out[-1][:1] == _EXACT and out[-1][1:2].isdigit() and word in lexicon.UNITS:
            out.append(_EXACT + lexicon.UNITS[word])
        else:
            out.append(word.removesuffix("'"))
    return out


def _filled(words: list[str], literal: bool) -> list[str]:
    """Without words that say nothing; one of several words of one meaning, unless the text sets them against each other."""
    if literal:
        return [word for word in words if word != "please"] if words and "please" in (words[0], words[-1]) else words
    kinds: dict[str, set[str]] = {}
    for word in words:
        kinds.setdefault(lexicon.SYNONYMS.get(word, word), set()).add(word)
    return [
        first if len(kinds[first]) == 1 else word
        for word in words
        if word not in lexicon.FILLERS
        for first in (lexicon.SYNONYMS.get(word, word),)
    ]


_OPEN = "of|in|on|for|at|to|from|with|and|or|by|about|than|as|the|a|an|if|that|this|whether|my|your|his|her|our|their|its"
_CLOSED = f"(?:{_OPEN}|{'|'.join(sorted(lexicon.AUXILIARIES | lexicon.WH))})"
_POSSESSIVE = re.compile(
    rf"(?:(?<= )|^)((?:the |my |your |his |her |our |their )?(?:(?!{_CLOSED} )[^\W\d_]+ ){{1,3}})'s ([^\W\d_]+)(?= {_CLOSED} |$)"
)


def _act(text: str, literal: bool) -> tuple[str, str]:
    """What is asked for, and the rest."""
    asked = _without(frames.ASKING, text)
    if literal:
        doing = frames.DOING.match(asked)
        return "", asked[doing.end() :] if doing else asked
    explained = frames.EXPLAINING.sub("", asked)
    for pattern, new in frames.PHRASES:
        explained = pattern.sub(new, explained)
    if explained != text and explained.partition(" ")[0] in ("if", "whether"):
        return "whether", explained.partition(" ")[2]
    doing = frames.DOING.match(explained)
    if doing and (not explained.startswith("can you ") or doing[1] in frames.TOLD):
        explained = explained[doing.end() :]
    embedded = explained != text
    return _acted(explained, embedded)


def _acted(text: str, embedded: bool) -> tuple[str, str]:
    for pattern, new in frames.WAYS:
        changed, count = pattern.subn(new, text, count=1)
        if count:
            return _how(changed, text)
    for pattern, new in (*frames.WHAT, *frames.WHY, *frames.MAKING):
        changed, count = pattern.subn(new, text, count=1)
        if count and changed[0] == "\x06":
            act, _, rest = changed[1:].partition(" ")
            return act, rest
        if count:
            break
    first, _, rest = text.partition(" ")
    if first in lexicon.WH:
        return f"{first}?" if embedded else first, rest
    return ("what" if first == "the" else ""), text


def _how(changed: str, text: str) -> tuple[str, str]:
    """`how` and a verb without its ending; a question about the model itself stays as it was."""
    verb, _, rest = changed[1:].partition(" ")
    if " you " in f" {text} " and (verb in lexicon.OF_THE_MODEL or not rest or {"you", "your", "yourself", "me", "my"} & set(rest.split())):
        return "", text
    if verb in lexicon.AUXILIARIES or (not text.startswith("how to ") and (verb in lexicon.OF_A_PERSON or not rest)):
        return "", text
    return "how to", f"{verb} {rest}".strip()


def _without(pattern: re.Pattern[str], text: str) -> str:
    while True:
        shorter = pattern.sub("", text, count=1)
        if shorter == text:
            return text
        text = shorter


def _uninverted(act: str, tokens: list[str]) -> tuple[str, list[str]]:
    """The auxiliary of a question apart, wherever it stands: `where is it` and `where it is`."""
    if act == "what" and tokens and tokens[0] in lexicon.BE:
        return tokens[0], tokens[1:]
    if act.rstrip("?") in lexicon.WH or act in ("why", "whether"):
        if tokens and tokens[0] in lexicon.AUXILIARIES:
            return tokens[0], tokens[1:]
        if act.endswith("?") or act in ("why", "whether"):
            at = next((place for place, token in enumerate(tokens) if token in lexicon.AUXILIARIES), None)
            if at is not None:
                return tokens[at], tokens[:at] + tokens[at + 1 :]
    if not act and tokens and tokens[0] in lexicon.AUXILIARIES:
        return tokens[0], tokens[1:]
    return "", tokens


def _words(tokens: list[str], literal: bool) -> Iterator[Word]:
    if not literal:
        text = _POSSESSIVE.sub(lambda found: f"the {found[2]} of {found[1].strip()}", " ".join(tokens))
        tokens = _sorted_pair(text.split())
    article = ""
    for place, token in enumerate(tokens):
        following = tokens[place + 1] if place + 1 < len(tokens) else ""
        if (
            not literal
            and token in lexicon.ARTICLES
            and following
            and following not in lexicon.QUANTITIES
            and not following.endswith("est")
        ):
            article = token
            continue
        yield Word(token, article)
        article = ""


def _sorted_pair(tokens: list[str]) -> list[str]:
    """`difference between A and B` in one order, where it is plain what A and B are."""
    if "between" not in tokens or tokens.count("and") != 1 or not {"difference", "distance", "similarity"} & set(tokens):
        return tokens
    start, middle = tokens.index("between") + 1, tokens.index("and")
    end = next((n for n in range(middle + 1, len(tokens)) if tokens[n] in ("in", "for", "on", "when", "with", "of", "at")), len(tokens))
    if middle <= start or end <= middle + 1:
        return tokens
    one, other = sorted((tokens[start:middle], tokens[middle + 1 : end]), key=lambda side: [t for t in side if t not in lexicon.ARTICLES])
    return [*tokens[:start], *one, "and", *other, *tokens[end:]]


def forms_of(verb: str) -> frozenset[str]:
    """The regular forms in -ing and -ed."""
    if len(verb) < 2 or not set(verb) & set("aeiouy"):
        return frozenset()
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return frozenset((f"{verb[:-2]}ying" if verb.endswith("ie") else f"{verb[:-1]}ing", f"{verb}d"))
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return frozenset((f"{verb}ing", f"{verb[:-1]}ied"))
    plain = {f"{verb}ing", f"{verb}ed"} if not verb.endswith("e") else {f"{verb}ing", f"{verb}d"}
    if len(verb) > 2 and verb[-1] not in "aeiouwxy" and verb[-2] in "aeiou" and verb[-3] not in "aeiou":
        doubled = {f"{verb}{verb[-1]}ing", f"{verb}{verb[-1]}ed"}
        return frozenset(doubled if len(re.findall("[aeiouy]+", verb)) == 1 else plain | doubled)
    return frozenset(plain)


def verbs_of(form: str) -> frozenset[str]:
    """The verbs that a word may be a form of, the word itself among them."""
    found = {form, lexicon.IRREGULAR.get(form, form)}
    for ending in ("ing", "ed", "d"):
        if form.endswith(ending):
            base = form.removesuffix(ending)
            candidates = {base, f"{base}e", base[:-1], f"{base[:-1]}y", f"{base[:-1]}ie"}
            found |= {verb for verb in candidates if form in forms_of(verb)}
    return frozenset(found)


def _mood(text: str) -> str:
    return "?" if text.endswith("?") else "" if text[-1:] not in ("!", ".") else "."


def _cases(words: list[str]) -> dict[str, frozenset[str]]:
    """Every word in lower case and how it is written; a capital at the beginning of a sentence says nothing."""
    found: dict[str, set[str]] = {}
    begins = True
    for word in words:
        if word.startswith(_EXACT):
            begins = word.startswith(_END)
            continue
        written = word.removesuffix("'s")
        if begins and len(written) > 1 and written[1:].islower():
            written = written.casefold()
            found.setdefault(written, set()).add("")  # either
        else:
            found.setdefault(written.casefold(), set()).add(written)
        begins = False
    return {word: frozenset(forms) for word, forms in found.items()}
