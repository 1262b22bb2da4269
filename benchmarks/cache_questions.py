"""Pairs of questions with a label: whether the answer to one may be given to the other. Made from templates and lists of our own.

Every template belongs to one of two halves. What the cache's check allows was written while looking at the half `train`; `test`
is what is reported. A pair never mixes templates of both halves, and lists are cut the same way.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Half = Literal["train", "test"]
HALVES: tuple[Half, Half] = ("train", "test")


@dataclass(frozen=True)
class Pair:
    """`same`: the two ask for the same thing."""

    one: str
    other: str
    same: bool
    kind: str
    half: Half


# verb, verb with -ing, what follows
TASKS = [
    row.split("|")
    for row in """
reset|resetting|my router password
sort|sorting|a list of strings in Python
merge|merging|two branches in Git
remove|removing|a wine stain from a carpet
install|installing|PostgreSQL on Ubuntu
freeze|freezing|fresh basil
cancel|cancelling|a magazine subscription
read|reading|a CSV file in Java
renew|renewing|a passport in Canada
train|training|a puppy to sit
calculate|calculating|the area of a circle
write|writing|a cover letter
clean|cleaning|a cast iron pan
connect|connecting|a printer to a Mac
undo|undoing|the last commit in Git
bake|baking|sourdough bread
deploy|deploying|a Flask app on Heroku
change|changing|a flat tire
parse|parsing|JSON in JavaScript
plant|planting|tomatoes in a pot
back up|backing up|an iPhone to a computer
split|splitting|a string by commas in Ruby
apply|applying|for a student visa in Germany
tie|tying|a bow tie
convert|converting|a PDF file to Word
create|creating|a virtual environment in Python
boil|boiling|an egg
close|closing|a bank account
center|centering|a div with CSS
write|writing|unit tests for a REST API
""".strip().splitlines()
]
NOUNS = """
capital of Portugal
population of Toronto
boiling point of ethanol
currency of Denmark
official language of Angola
chemical symbol for tungsten
longest river in South America
speed of light in a vacuum
area of Lake Geneva
national animal of Scotland
minimum wage in Ireland
atomic number of cobalt
largest moon of Saturn
melting point of lead
default port of Redis
highest mountain in Japan
freezing point of seawater
legal drinking age in Iceland
time zone of Nairobi
maximum size of a Git repository on GitHub
""".strip().splitlines()
# auxiliary, subject, what follows, how it stands in a clause
REASONS = [
    row.split("|")
    for row in """
is|the sky|blue|the sky is blue
do|cats|purr at night|cats purr at night
is|seawater|salty|seawater is salty
does|bread|go stale|bread goes stale
are|flamingos|pink|flamingos are pink
do|onions|make people cry|onions make people cry
is|my Docker container|exiting immediately|my Docker container is exiting immediately
does|ice|float on water|ice floats on water
are|leap years|necessary|leap years are necessary
did|the Roman Empire|collapse|the Roman Empire collapsed
was|Latin|replaced by French in diplomacy|Latin was replaced by French in diplomacy
do|leaves|change colour in autumn|leaves change colour in autumn
""".strip().splitlines()
]
CHECKS = [
    row.split("|")
    for row in """
does|coffee|raise blood pressure|coffee raises blood pressure
is|raw dough|dangerous to eat|raw dough is dangerous to eat
can|rabbits|eat celery|rabbits can eat celery
does|Rust|have a garbage collector|Rust has a garbage collector
is|Pluto|a planet|Pluto is a planet
are|tomatoes|technically fruits|tomatoes are technically fruits
does|aspirin|expire|aspirin expires
can|a landlord|enter without notice in Ohio|a landlord can enter without notice in Ohio
is|HTTP|a stateless protocol|HTTP is a stateless protocol
did|Vikings|reach North America|Vikings reached North America
are|bananas|radioactive|bananas are radioactive
was|Cleopatra|Egyptian|Cleopatra was Egyptian
""".strip().splitlines()
]
TERMS = [
    "recursion",
    "inflation",
    "a mutex",
    "photosynthesis",
    "a black hole",
    "technical debt",
    "an ETF",
    "amortization",
    "entropy",
    "a monad",
    "a deadlock",
    "osmosis",
    "a hedge fund",
    "machine learning",
    "a neural network",
    "gerrymandering",
]
CONTRASTS = [
    row.split("|")
    for row in """
TCP|UDP
a crocodile|an alligator
baking soda|baking powder
a list|a tuple
weather|climate
a virus|a bacterium
jam|marmalade
an alpaca|a llama
supervised learning|unsupervised learning
an interface|an abstract class
""".strip().splitlines()
]
WORKS = [
    "poem about the sea",
    "haiku about autumn leaves",
    "short story about a lighthouse keeper",
    "limerick about a lazy cat",
    "Python function that reverses a list",
    "regular expression that matches email addresses",
    "birthday message for my grandmother",
    "slogan for a bakery",
    "SQL query that counts orders per customer",
    "packing list for a ski trip",
    "cover letter for a junior accountant",
    "bedtime story about a dragon",
]
EVENTS = [
    row.split("|")
    for row in """
invented|the telephone
painted|The Night Watch
discovered|penicillin
founded|Wikipedia
composed|The Four Seasons
wrote|Don Quixote
designed|the Eiffel Tower
won|the 1998 World Cup
""".strip().splitlines()
]

# templates that ask the same, by what they ask for: the first list is `train`, the second `test`
SAME: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "task": (
        (
            "How do I {v} {o}?",
            "How can I {v} {o}?",
            "how to {v} {o}",
            "What is the best way to {v} {o}?",
            "Could you tell me how to {v} {o}?",
            "Please explain how to {v} {o}.",
            "What's the procedure for {g} {o}?",
            "How does one {v} {o}?",
            "I need to {v} {o}. How do I do that?",
        ),
        (
            "How should I {v} {o}?",
            "What steps do I need to take to {v} {o}?",
            "Can you show me how to {v} {o}?",
            "Is there a way to {v} {o}?",
            "I'm trying to figure out how to {v} {o}.",
            "Any idea how to {v} {o}?",
            "what do i have to do to {v} {o}?",
            "Walk me through {g} {o}.",
            "Hi! How would I go about {g} {o}? Thanks!",
            "Give me instructions for {g} {o}.",
            "Help me {v} {o}.",
            "I'd like some advice on {g} {o}.",
            "What would be a good method to {v} {o}?",
        ),
    ),
    "noun": (
        (
            "What is the {n}?",
            "What's the {n}?",
            "Tell me the {n}.",
            "Do you know what the {n} is?",
            "the {n}?",
            "Could you please tell me what the {n} is?",
        ),
        (
            "what is the {n}",
            "Can you give me the {n}?",
            "I would like to know the {n}.",
            "Give me the {n}.",
            "State the {n}.",
            "I was wondering what the {n} is.",
            "Hello, what is the {n}, please?",
            "What would be the {n}?",
            "Remind me what the {n} is.",
            "I'm looking for the {n}.",
        ),
    ),
    "reason": (
        ("Why {a} {s} {p}?", "Can you explain why {c}?", "What is the reason {c}?", "why {a} {s} {p}", "Tell me why {c}."),
        (
            "How come {c}?",
            "I'd like to understand why {c}.",
            "For what reason {a} {s} {p}?",
            "Do you know why {c}?",
            "Could you tell me the reason why {c}?",
            "Hey, why {a} {s} {p}?",
            "I wonder why {c}.",
            "What explains why {c}?",
        ),
    ),
    "check": (
        ("{A} {s} {p}?", "{a} {s} {p}", "Do you know if {c}?", "Can you tell me whether {c}?"),
        (
            "I'd like to know whether {c}.",
            "Please tell me if {c}.",
            "Hello there, {a} {s} {p}?",
            "Is it true that {c}?",
            "I'm wondering if {c}.",
            "Could you let me know if {c}?",
        ),
    ),
    "term": (
        ("What is {t}?", "Explain {t}.", "What's {t}?", "Can you explain what {t} is?", "Define {t}."),
        (
            "what is {t}",
            "Could you describe what {t} is?",
            "Please explain {t} to me.",
            "Give me a definition of {t}.",
            "Tell me what {t} is.",
            "I want to understand what {t} is.",
            "What do people mean by {t}?",
            "What exactly is {t}?",
        ),
    ),
    "contrast": (
        (
            "What is the difference between {x} and {y}?",
            "How does {x} differ from {y}?",
            "What's the difference between {y} and {x}?",
            "Explain the difference between {x} and {y}.",
        ),
        (
            "what are the differences between {x} and {y}",
            "How is {x} different from {y}?",
            "Tell me the difference between {x} and {y}.",
            "How do {x} and {y} differ?",
            "Can you explain how {x} is different from {y}?",
            "In what way does {y} differ from {x}?",
        ),
    ),
    "work": (
        ("Write a {w}.", "Can you write a {w}?", "Please write me a {w}.", "Compose a {w}.", "Could you please create a {w}?"),
        (
            "write a {w}",
            "I want you to write a {w}.",
            "Generate a {w}.",
            "Would you write a {w} for me?",
            "Make me a {w}.",
            "Hi, please draft a {w}. Thank you!",
            "I need a {w}.",
        ),
    ),
    "event": (
        ("Who {e}?", "who {e}", "Do you know who {e}?", "Tell me who {e}."),
        (
            "Can you tell me who {e}?",
            "I'd like to know who {e}.",
            "Hey, who {e}?",
            "Who was it that {e}?",
            "Please tell me who {e}.",
            "Which person {e}?",
        ),
    ),
}


def _halved(rows: Sequence[object], half: Half) -> Sequence[object]:
    return rows[::2] if half == "train" else rows[1::2]


def _fills(kind: str) -> list[dict[str, str]]:
    match kind:
        case "task":
            return [{"v": v, "g": g, "o": o} for v, g, o in TASKS]
        case "noun":
            return [{"n": n} for n in NOUNS]
        case "reason" | "check":
            return [{"a": a, "A": a.capitalize(), "s": s, "p": p, "c": c} for a, s, p, c in (REASONS if kind == "reason" else CHECKS)]
        case "term":
            return [{"t": t} for t in TERMS]
        case "contrast":
            return [{"x": x, "y": y} for x, y in CONTRASTS]
        case "work":
            return [{"w": w} for w in WORKS]
    return [{"e": f"{verb} {what}"} for verb, what in EVENTS]


def paraphrases(draw: random.Random, most: int) -> Iterator[Pair]:
    """Up to `most` pairs of each kind and half that should hit."""
    for kind, halves in SAME.items():
        for half, templates in zip(HALVES, halves, strict=True):
            pairs = [
                (one.format(**fill), other.format(**fill))
                for fill in _halved(_fills(kind), half)
                for one, other in itertools.combinations(templates, 2)
            ]
            for one, other in draw.sample(pairs, min(most, len(pairs))):
                if one != other:
                    yield Pair(one, other, True, kind, half)


# ---- what must not hit -------------------------------------------------------------------------------------------------------------
# a template with {0} and {1}, and values; every two of them make a pair. The first of each list of templates is `train`.
SWAPS: dict[str, tuple[Sequence[str], Sequence[str], Sequence[str]]] = {
    "number": (
        (
            "What is {} percent of 250?",
            "How many calories are in {} eggs?",
            "Give me {} ideas for a birthday party.",
            "Is {} a prime number?",
        ),
        (
            "How do I divide a cake into {} equal pieces?",
            "Write a {} word essay about bees.",
            "What happened in {}?",
            "Round pi to {} decimal places.",
            "Can a {} year old ride in the front seat?",
        ),
        ("2", "3", "7", "12", "15", "18", "50", "1950"),
    ),
    "number in words": (
        ("Name {} causes of inflation.", "How do I cook rice for {} people?"),
        ("What can I do in Rome in {} days?", "Suggest {} names for a parrot."),
        ("two", "three", "four", "five", "six", "ten"),
    ),
    "name": (
        ("When was {} born?", "What is {} best known for?", "How old was {} when she died?"),
        ("Where did {} go to school?", "Write a short biography of {}.", "Did {} ever win a Nobel Prize?"),
        ("Marie Curie", "Ada Lovelace", "Jane Austen", "Frida Kahlo", "Rosa Parks", "Amelia Earhart"),
    ),
    "place": (
        ("What is the capital of {}?", "Do I need a visa for {}?", "What is the climate like in {}?"),
        ("What are the top sights in {}?", "Who is the president of {}?", "How do people greet each other in {}?"),
        ("Peru", "Chile", "Norway", "Kenya", "Vietnam", "Poland"),
    ),
    "unit": (
        ("How many {} are in a mile?", "Convert 12 {} to yards.", "Give the height of the Eiffel Tower in {}."),
        ("What is the length of a marathon in {}?", "How many {} is 3 feet?", "Express the diameter of Earth in {}."),
        ("meters", "kilometers", "inches", "centimeters", "nautical miles"),
    ),
    "compact unit": (
        ("Is {} of sugar a day too much?", "How long does it take to download {}?"),
        ("What does {} look like?", "Can I store {} in one file?"),
        ("5g", "5kg", "5mg", "5MB", "5GB", "5Mb"),
    ),
    "language": (
        ("Translate 'good morning' into {}.", "How do I sort an array in {}?", "Write hello world in {}."),
        ("What is the word for bread in {}?", "Show me a for loop in {}.", "Is {} hard to learn?"),
        ("French", "German", "Swedish", "Python", "Rust", "Kotlin"),
    ),
    "date": (
        ("What day of the week was {}?", "Which planets are visible on {}?"),
        ("What happened on {}?", "Is {} a public holiday in Spain?"),
        ("3 May 2021", "4 May 2021", "3 June 2021", "3 May 2012", "2021-05-04", "March 5, 2021"),
    ),
    "weekday": (
        ("Are banks open on {}?", "Write a to-do list for {}."),
        ("What can I cook on {}?", "Plan my workout for {}."),
        ("Monday", "Tuesday", "Friday", "Sunday"),
    ),
    "time": (
        ("What was the weather like {}?", "Which films come out {}?"),
        ("What should I eat {}?", "Is the moon full {}?"),
        ("today", "tomorrow", "yesterday", "tonight", "next week", "last week"),
    ),
    "identifier": (
        ("What does the flag {} do in curl?", "How do I fix error {}?"),
        ("Explain the environment variable {}.", "Where is {} defined?"),
        ("-k", "-X", "E1101", "E1102", "HTTP_PROXY", "HTTPS_PROXY", "user_id", "userId", "app.py", "app.js"),
    ),
    "quoted": (
        ('What does "{}" mean?', "Spell '{}' backwards."),
        ("Is '{}' a valid Scrabble word?", 'Count the letters in "{}".'),
        ("stressed", "desserts", "live", "Evil", "evil"),
    ),
    "literal": (
        ("How do you spell {}?", "What is a synonym for {}?"),
        ("What rhymes with {}?", "What is the plural of {}?"),
        ("colour", "color", "child", "kid", "purchase", "buy", "big", "large"),
    ),
    "degree": (
        ("What is the {} animal in the world?", "Which country has the {} population?"),
        ("Name the {} planet.", "Who is the {} person alive?"),
        ("largest", "smallest", "fastest", "slowest", "oldest", "youngest"),
    ),
    "quantity": (
        ("Do {} birds fly?", "Can {} dogs swim?"),
        ("Are {} snakes venomous?", "Should {} windows face south?"),
        ("all", "some", "no", "most", "few", "a few", "only"),
    ),
    "tense": (
        ("Who {} the CEO of Intel?", "What {} the largest city in the world?"),
        ("Where {} the headquarters of the League of Nations?", "What {} the tallest building in Asia?"),
        ("is", "was", "will be", "should be", "could have been"),
    ),
    "modal": (
        ("{} I take ibuprofen with coffee?", "{} we tell the children?"),
        ("{} I water a cactus daily?", "{} a tenant paint the walls?"),
        ("Can", "Should", "Must", "Could", "Will", "Did"),
    ),
    "question word": (
        ("{} did the Titanic sink?", "{} was the treaty signed?"),
        ("{} do salmon spawn?", "{} should I plant garlic?"),
        ("When", "Where", "Why", "How"),
    ),
    "owner": (
        ("What is {} IP address?", "How do I sell {} car?", "Is {} password safe?"),
        ("What colour is {} hair?", "Where is {} passport?", "Write about {} dog."),
        ("my", "your", "his", "her", "our", "their", "an"),
    ),
    "person": (
        ("Can {} see the moon?", "Why do {} feel tired?"),
        ("How do {} feel?", "What do {} know about jazz?"),
        ("I", "you", "we", "they", "he"),
    ),
    "comparison": (
        ("Is a whale {} than a bus?", "Why is rail {} than road?"),
        ("Which is {}, silver or gold?", "Is oak {} than pine?"),
        ("heavier", "lighter", "cheaper", "safer", "more expensive", "less expensive"),
    ),
    "length": (
        ("Explain photosynthesis in one {}.", "Describe Lisbon in a {}."),
        ("Summarize Hamlet in two {}s.", "Sum up the plot of Dune in a few {}s."),
        ("word", "sentence", "paragraph", "page"),
    ),
    "audience": (
        ("Explain gravity to a {}.", "Write a letter to a {}."),
        ("Describe an atom for a {}.", "Make a joke a {} would like."),
        ("child", "physicist", "teenager", "teacher", "lawyer"),
    ),
    "capital letter": (
        ("What is the history of {} pottery?", "How do I clean {} shoes?"),
        ("Where can I buy {} wax?", "Is {} good for wood?"),
        ("polish", "Polish"),
    ),
    "acronym": (
        ("What does {} say about masks?", "How do I contact {}?"),
        ("Can you tell {} more?", "Write about {}."),
        ("us", "US", "who", "WHO", "it", "IT"),
    ),
    "article": (("What is {} matrix?", "What is {} law?"), ("What is {} time?", "Who is {} doctor?"), ("the", "a")),
    "material": (
        ("How do I remove ink from {}?", "How do I paint {}?"),
        ("Is {} waterproof?", "How do I recycle {}?"),
        ("leather", "cotton", "wood", "glass", "silk"),
    ),
    "purpose": (
        ("What is the best {} for beginners?", "Recommend a {}."),
        ("How do I choose a {}?", "How much does a {} cost?"),
        ("guitar", "camera", "bicycle", "laptop", "tent"),
    ),
    "direction": (
        ("Sort numbers in {} order.", "Turn the screw {}."),
        ("How do I rotate an image {}?", "List the presidents in {} order."),
        ("ascending", "descending", "clockwise", "counterclockwise", "alphabetical"),
    ),
    "operator": (
        ("What is 8 {} 2?", "Simplify 3 * (4 {} 5)."),
        ("Compute 10 {} 5.", "What does a {} b return in C?"),
        ("+", "-", "*", "/", "%"),
    ),
    "case of an identifier": (
        ("What does {} do?", "Rename {} in the code."),
        ("Where is {} used?", "Write a test for {}."),
        ("getUser", "GetUser", "getuser", "get_user"),
    ),
}
ANTONYMS = [
    row.split("|")
    for row in """
enable|disable
increase|decrease
open|close
lock|unlock
start|stop
add|remove
buy|sell
raise|lower
encrypt|decrypt
gain|lose
freeze|thaw
install|uninstall
import|export
accept|reject
attract|repel
tighten|loosen
borrow|lend
push|pull
load|unload
compress|decompress
follow|unfollow
hide|show
allow|forbid
shrink|grow
""".strip().splitlines()
]
OBJECTS = [
    "access on the server",
    "the file",
    "the main door",
    "the pressure",
    "the account",
    "the data",
    "the valve",
    "the price",
    "my weight",
    "the group",
]
OPPOSED: tuple[Sequence[str], Sequence[str]] = (
    ("How do I {} {}?", "What is the best way to {} {}?", "Can I {} {} remotely?"),
    ("Is it legal to {} {}?", "Tell me how to {} {}.", "When should we {} {}?"),
)
# two roles: the pair is the question and the same with the roles exchanged
REVERSED: tuple[Sequence[str], Sequence[str]] = (
    (
        "How do I convert {0} to {1}?",
        "Translate this sentence from {0} into {1}.",
        "Did {0} ever lend money to {1}?",
        "Is {0} older than {1}?",
        "Who did {0} beat when {1} lost?",
        "Why did {0} leave {1}?",
        "Subtract {0} from {1}.",
    ),
    (
        "What is the fastest route from {0} to {1}?",
        "How much bigger is {0} than {1}?",
        "Has {0} ever defeated {1}?",
        "Should I replace {0} with {1}?",
        "Does {0} cause {1}?",
        "Can {0} eat {1}?",
        "Divide {0} by {1}.",
        "Is {0} a kind of {1}?",
        "Move from {0} into {1}.",
    ),
)
ROLES = [
    ("Celsius", "Fahrenheit"),
    ("French", "Dutch"),
    ("Rome", "Carthage"),
    ("Anna", "Tom"),
    ("stress", "insomnia"),
    ("pounds", "dollars"),
    ("sharks", "seals"),
    ("CSV", "JSON"),
]
NEGATED: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] = (
    (
        ("Is it safe to {}?", "Is it not safe to {}?"),
        ("Why should I {}?", "Why should I not {}?"),
        ("When can I {}?", "When can't I {}?"),
        ("How do people {}?", "How do people not {}?"),
        ("What happens if I {}?", "What happens if I don't {}?"),
        ("Is it legal to {}?", "Is it illegal to {}?"),
    ),
    (
        ("Which people {}?", "Which people never {}?"),
        ("Can I {} with a permit?", "Can I {} without a permit?"),
        ("Tell me to {}.", "Tell me not to {}."),
        ("Is it possible to {}?", "Is it impossible to {}?"),
        ("Is anyone allowed to {}?", "Is no one allowed to {}?"),
        ("Why do some people {}?", "Why don't some people {}?"),
        ("Should I {} before work?", "Should I {} after work?"),
    ),
)
DEEDS = [
    "eat raw eggs",
    "park on the grass",
    "swim in the lake",
    "drive at night",
    "use public WiFi",
    "keep a pet fox",
    "drink rainwater",
    "fly a drone",
    "burn old wood",
    "record phone calls",
]
SCOPED: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]] = (
    (
        ("How do I {v} {o}?", "Why should I {v} {o}?"),
        ("How do I {v} {o}?", "How much does it cost to {v} {o}?"),
        ("How do I {v} {o}?", "How long does it take to {v} {o}?"),
        ("How do I {v} {o}?", "How do I avoid having to {v} {o}?"),
        ("How do I {v} {o}?", "How do I safely {v} {o} at night?"),
    ),
    (
        ("Is there a way to {v} {o}?", "Is there a law against {g} {o}?"),
        ("Can you show me how to {v} {o}?", "Can you show me who can {v} {o}?"),
        ("What steps do I need to take to {v} {o}?", "What tools do I need to {v} {o}?"),
        ("How should I {v} {o}?", "How often should I {v} {o}?"),
        ("Is there a way to {v} {o}?", "Is there a free way to {v} {o}?"),
        ("Walk me through {g} {o}.", "What are the risks of {g} {o}?"),
    ),
)
ENDS = [
    ("write a poem.", "drop the production table."),
    ("answer yes.", "answer no."),
    ("give the total in euros.", "give the total in dollars."),
    ("list the causes.", "list the effects."),
    ("keep the names.", "remove the names."),
    ("in French.", "in Spanish."),
    ("use 3 steps.", "use 4 steps."),
]
PREFIXES: tuple[Sequence[str], Sequence[str]] = (
    (
        "The committee met in the old town hall and spoke about the bridge, the school and the budget for the coming year. ",
        "Our shop sells bread, cakes and coffee from early morning until late. ",
    ),
    (
        "During the long voyage the crew kept a careful record of wind, currents and the birds that they saw. ",
        "The report describes three factories, their workers and the river that they share. ",
    ),
)


def _swaps(half: Half) -> Iterator[Pair]:
    for kind, (train, test, values) in SWAPS.items():
        for template in train if half == "train" else test:
            for one, other in itertools.combinations(values, 2):
                yield Pair(template.format(one), template.format(other), False, kind, half)


def _opposed(half: Half) -> Iterator[Pair]:
    place = HALVES.index(half)
    for (one, other), thing, template in itertools.product(_halved(ANTONYMS, half), _halved(OBJECTS, half), OPPOSED[place]):  # type: ignore[misc]
        yield Pair(template.format(one, thing), template.format(other, thing), False, "antonym", half)
    for (one, other), template in itertools.product(ROLES, REVERSED[place]):
        yield Pair(template.format(one, other), template.format(other, one), False, "reversal", half)
    for (plain, negated), deed in itertools.product(NEGATED[place], DEEDS):
        yield Pair(plain.format(deed), negated.format(deed), False, "negation", half)
    for (one, other), (v, g, o) in itertools.product(SCOPED[place], _halved(TASKS, half)):  # type: ignore[misc]
        yield Pair(one.format(v=v, g=g, o=o), other.format(v=v, g=g, o=o), False, "other request", half)
    for prefix, times, (one, other) in itertools.product(PREFIXES[place], (1, 3, 20), ENDS):
        yield Pair(prefix * times + one.capitalize(), prefix * times + other.capitalize(), False, "shared prefix", half)


def _neighbours(draw: random.Random, half: Half) -> Iterator[Pair]:
    """Other questions in the same words: the template stays, the subject changes."""
    for kind, templates in SAME.items():
        fills = list(_halved(_fills(kind), half))
        for template in templates[HALVES.index(half)]:
            one, other = draw.sample(fills, 2)
            yield Pair(template.format(**one), template.format(**other), False, "other subject", half)  # type: ignore[arg-type]


def contrasts(draw: random.Random, most: int) -> Iterator[Pair]:
    """Up to `most` pairs of each kind and half that must not hit."""
    for half in HALVES:
        makers: list[Callable[[], Iterator[Pair]]] = [
            lambda half=half: _swaps(half),
            lambda half=half: _opposed(half),
            lambda half=half: _neighbours(draw, half),
        ]  # type: ignore[misc]
        by_kind: dict[str, list[Pair]] = {}
        for make in makers:
            for pair in make():
                if pair.one != pair.other:
                    by_kind.setdefault(pair.kind, []).append(pair)
        for pairs in by_kind.values():
            yield from draw.sample(pairs, min(most, len(pairs)))


def pairs(seed: int = 7, most: int = 60) -> list[Pair]:
    """The whole set, the same for the same seed."""
    draw = random.Random(seed)
    return [*paraphrases(draw, 2 * most), *contrasts(draw, most)]
