"""How a request is worded around what it is about: patterns over the words of a text in lower case, and what they say.

`\x06` begins what an act is called, `\x04` stands before the verb of what one wants to do, `\x02` begins a word that is kept to the letter.
"""

from __future__ import annotations

import re

from headroom.cache import lexicon

_Rule = tuple[re.Pattern[str], str]


def _rules(*pairs: tuple[str, str]) -> tuple[_Rule, ...]:
    return tuple((re.compile(pattern), new) for pattern, new in pairs)


PHRASES = tuple((re.compile(rf"(?<!\S)(?:{pattern.replace('%s', lexicon.LANGUAGES)})(?!\S)"), new) for pattern, new in lexicon.PHRASES)
_ME = r"(?: to)?(?: me| us)?"
# who asks, and that he asks: repeated until nothing is left to take away
ASKING = re.compile(
    r"^(?:please|quick question|i have a (?:quick )?question"
    r"|(?:can|could|would|will) you(?: please| possibly| maybe)?(?: tell| inform| let me know| remind| enlighten)"
    + _ME
    + r"|(?:can|could|would|will) (?:anyone|anybody|someone|somebody)(?: here)? (?:tell|explain to) me"
    r"|do you(?: happen to| by any chance)? know|do you have any idea|any idea|does (?:anyone|anybody) know"
    r"|(?:please )?(?:tell|inform|let)(?: me| us)(?: know)?"
    r"|(?:i|we) (?:would like|would love|want|need|wish|am trying|are trying|am looking)"
    r" to (?:know|learn|find out|ask|understand|figure out|be told|see)(?: you)?"
    r"|(?:i am|i was|we are) (?:curious|wondering|interested to know|asking myself|unsure|not sure)(?: about| as to)?"
    r"|i wonder|may i ask|might i ask|can i ask(?: you)?"
    r"|what i want to know is|my question is|i do not know|can i know) (?=\S)"
)
EXPLAINING = re.compile(
    r"^(?:(?:can|could|would|will) you )?(?:explain|describe|show|teach|outline|walk me through|guide me through|help me understand)"
    + _ME
    + r" (?=(?:how|why|what|when|where|who) )"
)
DOING = re.compile(
    r"^(?:(?:can|could|would|will) you|i (?:want|need|would like) you to|i am asking you to|your task is to|would you mind) (?=(\w+) )"
)
_PEOPLE = r"(?:i|you|we|one)"
_WAY = (
    r"(?:way|ways|method|methods|approach|procedure|process|technique|techniques|steps|instructions|means|trick)"
    r"(?: (?:in which|by which|that|for|i|you|we|one|can|should|could|use|take|follow|need to))*"
)
_GOOD = r"(?:(?:best|right|correct|proper|good|usual|recommended|standard|preferred|appropriate|ideal) )?"
WAYS = _rules(
    (rf"^how (?:do|does|can|could|would) {_PEOPLE} (?:go about |best |properly |correctly )?", "\x04"),
    (rf"^how am i (?:able|supposed) to |^how are {_PEOPLE} (?:able|supposed) to ", "\x04"),
    (rf"^how {_PEOPLE} (?:can|could|would) (?:go about )?", "\x04"),
    (r"^how to (?:go about |properly |correctly |best )?", "\x04"),
    (rf"^how (?:is it|would it be) possible (?:for {_PEOPLE} )?to ", "\x04"),
    (rf"^(?:what|which) (?:is|are) (?:the|a|an|some|your) {_GOOD}{_WAY} (?:to|of|for) ", "\x04"),
    (rf"^what (?:the|a) {_GOOD}{_WAY} (?:to|of|for) (.+) is$", "\x04\\1"),
    (rf"^is there (?:a|an|any|some) {_GOOD}{_WAY} (?:to|of|for) ", "\x04"),
    (rf"^are there (?:any |some )?{_GOOD}{_WAY} (?:to|of|for) ", "\x04"),
    (
        rf"^(?:what|which) steps (?:do|should|must|can|are) (?:{_PEOPLE} )?(?:take|follow|need to take|needed|required|necessary)? ?to ",
        "\x04",
    ),
    (rf"^what (?:do|must|can) {_PEOPLE} (?:need to do|have to do|do) to ", "\x04"),
    (rf"^(?:give|show|list|provide|send)(?: me| us)?(?: with)? (?:the |some |a )?{_GOOD}{_WAY} (?:to|of|for|on) (?:how to )?", "\x04"),
    (rf"^(?:the |a |some )?{_GOOD}{_WAY} (?:to|of|for) ", "\x04"),
    (r"^(?:show|teach|tell)(?: me| us)? how to |^explain(?: to me)? how to |^describe how to ", "\x04"),
    (r"^(?:walk|guide|take) (?:me|us) through (?:the (?:process|steps) of |how to )?", "\x04"),
    (r"^how (?:can|could|would) (.+?) be (\S+)(?: (.*))?$", "\x04\\2 \\1 \\3"),
)
WHAT = _rules(
    (
        r"^(?:what is|what are|tell me|give me|list|name|state|explain|describe|outline)?(?: ?the)? ?(?:main |key )?differences? between ",
        "\x06what the difference between ",
    ),
    (r"^(?:what does|what do) (.+) (?:mean|stand for)$", "\x06meaning \\1"),
    (r"^what (?:is|are) (?:meant by|the meaning of) ", "\x06meaning "),
    (r"^what (?:is|are) (?:the definition of|a definition of) ", "\x06define "),
    (r"^(?:the )?meaning of ", "\x06meaning "),
    (r"^(?:the |a )?definition of ", "\x06define "),
    (r"^(?:give|provide|state)(?: me| us)?(?: with)? the meaning of ", "\x06meaning "),
    (r"^(?:give|provide|state|write)(?: me| us)?(?: with)? (?:the|a) definition of ", "\x06define "),
    (r"^how (?:is|are|would you|do you) (.+) defined$", "\x06define \\1"),
    (r"^define ", "\x06define "),
    (r"^explain(?: to me| to us)? (?:the concept of |the idea of |the notion of )?", "\x06define "),
    (r"^(?:give|provide)(?: me| us)?(?: with)? (?:a |an )?explanation (?:of|for) ", "\x06define "),
    (r"^(?:how (?:does|do|is|are)) (.+?) (?:differ|different) from (.+)$", "\x06what the difference between \\1 and \\2"),
    (
        r"^(?:how do|how are|in what way do|in what ways do) (.+?) and (.+?) (?:differ|different)$",
        "\x06what the difference between \\1 and \\2",
    ),
    (
        r"^(?:how does|what makes|what distinguishes) (.+?) (?:differ from|different from|from) (.+)$",
        "\x06what the difference between \\1 and \\2",
    ),
    (r"^(?:which|what) (?:city|town) (is|was) (the capital .+)$", "\x06what \\1 \\2"),
    (r"^(?:what|which) (is|are|was|were) ", "\x06what \\1 "),
    (r"^(?:name|state|identify|specify) (?=the |all )", "\x06what is "),
    (
        r"^(?:give|tell|provide)(?: me| us)?(?: with)? (?:the name of |the names of )?(?=the |some |all )",
        "\x06what is ",
    ),
    (r"^list (?=the |all |some )", "\x06what are "),
    (r"^(?:give|provide|make|write)(?: me| us)?(?: with)? a list of ", "\x06what are "),
)
WHY = _rules((r"^why ", "\x06why "), (r"^what makes (.+)$", "\x06makes \\1"), (r"^explain why ", "\x06why "))
MAKING = _rules(
    (
        (
            r"^(?:write|compose|draft|create|generate|produce|make|come up with|give|provide|prepare)(?: up)?(?: me| us)?(?: with)? "
            r"(?=(?:a|an|some|\x02\d+) )"
        ),
        "\x06write ",
    ),
    (r"^(?:recommend|suggest)(?: me| us)? ", "\x06recommend "),
    (r"^(?:summarize|sum up|give(?: me)? a summary of|write a summary of|provide a summary of) ", "\x06summarize "),
)
TOLD = lexicon.words("""
write create generate make compose draft produce give list provide show summarize explain describe translate suggest recommend define
name tell help convert prepare outline compare
""")
