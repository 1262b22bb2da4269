"""Closed lists of differences between two wordings that change no answer. What is not listed here counts as a difference.

English, because a word of another language stands in no list and so must be the same on both sides.
"""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Of a text, each once."""
    return frozenset(text.split())


CONTRACTIONS = {
    "can't": "can not",
    "cannot": "can not",
    "won't": "will not",
    "shan't": "shall not",
    "ain't": "is not",
    "let's": "let us",
    "i'm": "i am",
    "what's": "what is",
    "who's": "who is",
    "where's": "where is",
    "when's": "when is",
    "how's": "how is",
    "why's": "why is",
    "that's": "that is",
    "there's": "there is",
    "it's": "it is",
    "here's": "here is",
    "gonna": "going to",
    "wanna": "want to",
}
ENDINGS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'d", " would"))

NEGATIONS = words(
    """
not no never none nobody nothing neither nor nowhere without except unless hardly barely scarcely cannot non only instead rather
"""
)

_NUMBERS = """
two:2 three:3 four:4 five:5 six:6 seven:7 eight:8 nine:9 ten:10 eleven:11 twelve:12 first:1st second:2nd third:3rd fourth:4th
fifth:5th sixth:6th seventh:7th eighth:8th ninth:9th tenth:10th
"""
NUMBERS = dict(pair.split(":") for pair in _NUMBERS.split())

# behind a number; in front of it, or without one, a word is not taken for a unit
_UNITS = """
km kilometer kilometers kilometre kilometres
kg kilogram kilograms kilos
cm centimeter centimeters centimetre centimetres
mm millimeters millimetres
miles mile
min minute minutes mins
h hour hours hrs hr
% percent
usd dollars dollar
"""
UNITS = {name: unit for unit, *names in map(str.split, _UNITS.strip().splitlines()) for name in (unit, *names)}

# words of one meaning in every context that a question is likely to have; no pair here is ever a contrast. None may be what something
# in code or on a command line is called (`delete`, GET, `cons`, `docs`): there each name is a thing of its own
_SAME = """
buy purchase
movie film
utilize utilise
biggest largest
maths mathematics
quickly rapidly
fastest quickest
telephone phone
photo photograph
photos photographs
television tv
bicycle bike
refrigerator fridge
airplane aeroplane
directories folders
javascript js
kubernetes k8s
postgresql postgres
email e-mail
lawyer attorney
petrol gasoline
happen occur
happened occurred
ill sick
advantages benefits pros
disadvantages drawbacks
currently nowadays
approximately roughly
usa u.s. u.s.a.
uk u.k.
okay ok
color colour
colors colours
favorite favourite
flavor flavour
neighbor neighbour
behavior behaviour
honor honour
labor labour
center centre
theater theatre
meter metre
meters metres
liter litre
liters litres
fiber fibre
gray grey
organize organise
organized organised
recognize recognise
analyze analyse
optimize optimise
optimized optimised
summarize summarise
minimize minimise
maximize maximise
initialize initialise
serialize serialise
normalize normalise
visualize visualise
customize customise
memorize memorise
apologize apologise
capitalize capitalise
traveling travelling
traveled travelled
canceled cancelled
canceling cancelling
modeling modelling
catalog catalogue
program programme
defense defence
license licence
practice practise
aluminum aluminium
tire tyre
pajamas pyjamas
jewelry jewellery
skeptical sceptical
aging ageing
judgment judgement
"""
SYNONYMS = {other: first for first, *others in map(str.split, _SAME.strip().splitlines()) for other in others}

# in one step, before anything else is compared; word by word, so no part of a word is meant
PHRASES = (
    (r"united states of america|united states", "usa"),
    (r"united kingdom", "uk"),
    (r"(?:pros|advantages) and cons|positives and negatives", "advantages and disadvantages"),
    (r"advantages and (?:the )?(?:drawbacks|downsides)", "advantages and disadvantages"),
    (r"in order to|so as to", "to"),
    (r"mobile phone|cell phone|cellphone", "mobile"),
    (r"(?:by using|by means of|with the help of)", "using"),
    (r"(?:in|using) ((?:the )?(?:%s))", r"in \1"),
    (r"is it possible(?: for me)? to|am i able to", "can i"),
    (r"(in (?:the )?(?:%s)) (?:programming )?language", r"\1"),
    (r"(?:how many people|what number of people) (?:live|lives|are there|reside) in", "what is the population of"),
    (r"how many inhabitants (?:does|do) (.+) have", r"what is the population of \1"),
    (r"how many inhabitants are there in", "what is the population of"),
    (r"how (?:tall|high) (?:is|are) (mount|mt)\b", r"what is the height of \1"),
    (r"how far (?:is it|away is it)? ?from", "what is the distance from"),
    (r"who (?:is|was) the (?:author|writer) of", "who wrote"),
    (r"(?:who is|who was) (.+) (?:written|authored) by", r"who wrote \1"),
    (r"by whom (?:was|were) (.+) written", r"who wrote \1"),
    (r"by whom (?:was|were) (.+) painted", r"who painted \1"),
    (r"by whom (?:was|were) (.+) invented", r"who invented \1"),
    (r"by whom (?:was|were) (.+) discovered", r"who discovered \1"),
    (r"who (?:is|was) the inventor of", "who invented"),
    (r"who (?:is|was) the painter of", "who painted"),
    (r"who (?:is|was) the discoverer of", "who discovered"),
    (r"who (?:is|was) the founder of", "who founded"),
    (r"what is the (?:cost|price) of|how much is the (?:cost|price) of|how much money (?:does|do)", "how much cost"),
    (r"how much (?:does|do) (.+) cost", r"how much cost \1"),
    (r"(?:at|in) what year|which year|in which year|what year", "what year"),
    (r"how come", "why"),
    (r"for what reason|for which reason|what is the reason that|what is the reason why|what are the reasons why|what is the reason", "why"),
    (r"at what time|what time", "what time"),
    (r"(?:on|at) which date|on what date|what date", "what date"),
    (r"what sort of|what type of|which kind of|which type of|which sort of", "what kind of"),
    (r"as soon as possible", "asap"),
)
LANGUAGES = "python|java|javascript|typescript|rust|golang|kotlin|swift|ruby|php|perl|scala|haskell|bash|powershell|matlab"

# words that say nothing; `only`, `even`, `still`, `yet` and `already` do
FILLERS = frozenset(["please", "kindly", "simply", "actually", "basically", "really", "exactly", "precisely", "btw"])
QUANTITIES = words(
    """
few little lot bit couple number majority minority most more least less one other second minute hour day week month year first last
next same only former latter
"""
)
# behind these a mark that stands alone is what is meant: "what is the meaning of ?"
CALLS_FOR_A_NAME = words(
    """
of in on for at to from with and or by about than as between like vs the a an this is are was were does did use uses using called named
operator operators symbol symbols sign mark method function command keyword macro character token explain define describe write
"""
)
ARTICLES = frozenset(("a", "an", "the"))
BE = frozenset(("is", "are", "was", "were"))
DO = frozenset(("do", "does", "did"))
AUXILIARIES = BE | DO | frozenset(["can", "could", "should", "would", "will", "must", "may", "might", "shall", "has", "have", "had"])
WH = frozenset(["what", "who", "where", "when", "why", "which", "whose", "whom", "how"])

# a text about words, not with them: nothing but its frame and its marks may differ
ABOUT_WORDS = words(
    """
spell spelling spelled pronounce pronunciation translate translation word words say said phrase synonym synonyms antonym antonyms
opposite rhyme rhymes grammar grammatical sentence sentences rewrite rephrase paraphrase proofread correct quote letters syllable
syllables character characters anagram palindrome plural singular abbreviation acronym etymology punctuation typo uppercase lowercase
capitalize repeat echo reply text string output print regex tone following
"""
)

# "how do you ..." may be a question to the model about itself
OF_THE_MODEL = words(
    """
feel work think learn know understand see hear remember process store handle decide generate answer respond differ train compare like
want need live exist look read perceive reason function operate do come get go become help earn sleep
"""
)

OF_A_PERSON = frozenset(["feel", "look", "seem", "sound", "know"])  # "how do I ..." and "how do we ..." are two questions

# "what is a good book" wants one, "what are good books" several
JUDGING = words("good great nice cheap healthy cool popular safe easy quick better interesting famous common fun simple decent top useful")

# lower case in one wording and a capital or capitals in the other: the same thing all the same
ANY_CASE = words(
    """
python javascript typescript kotlin linux ubuntu debian docker kubernetes postgresql mysql sqlite redis mongodb nginx github gitlab
react django numpy pandas tensorflow pytorch bash powershell api apis sql json html css http https url urls pdf csv xml yaml aws gcp
azure gpu cpu ssd usb vpn dns ssh ssl tls tcp udp php sdk ide wifi iphone android ios bluetooth english german spanish italian
portuguese russian japanese korean arabic europe africa asia australia america france germany spain italy portugal canada mexico
brazil argentina peru egypt kenya nigeria india pakistan japan russia ukraine poland sweden norway finland denmark netherlands belgium
austria switzerland london paris berlin madrid rome tokyo moscow monday tuesday wednesday thursday friday saturday january february
june july september october november december usa uk i
"""
)
# words that mean something else with a capital; where one text has no capitals at all, these must still be written the same
OTHER_WITH_CAPITAL = words(
    """
us it who aids polish turkey china march may august apple amazon go rust swift ruby shell oracle target gap visa mark bill rose will
grace hope faith frank jack rob sue pat drew art earl guy miles chase reading bath nice cork mobile orange phoenix jersey guinea chad
jordan cuba lima lent job cat dot fat mac act sat pet smart or in me god lord mercury mars windows word excel access outlook teams
edge java spark hive spring flask express node
"""
)

PLURAL_IS_ANOTHER_WORD = words(
    """
news physics good goods arm arms glass glasses custom customs mean means force forces work works minute minutes air airs spirit
spirits color colors manner manners time times people peoples premise premises brain brains content contents damage damages saving
savings draft drafts ground grounds quarter quarters scale scales spectacle spectacles thank thanks trouser trousers as has is was
this us its does lens bus gas class pass process access address always perhaps across less series species mathematics economics
politics ethics statistics statistic analysis basis thesis crisis yes plus minus versus status focus virus bonus campus
"""
)

_IRREGULAR = """
made:make built:build written:write wrote:write sent:send kept:keep taken:take took:take given:give gave:give done:do drawn:draw
driven:drive grown:grow grew:grow sold:sell bought:buy taught:teach told:tell hung:hang fed:feed won:win began:begin begun:begin
became:become fallen:fall broke:break broken:break chosen:choose eaten:eat held:hold led:lead lost:lose met:meet paid:pay ran:run
seen:see spent:spend worn:wear came:come died:die tied:tie dying:die tying:tie lying:lie
"""
IRREGULAR = dict(pair.split(":") for pair in _IRREGULAR.split())
