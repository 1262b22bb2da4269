"""Which questions have the same answer, by their words; and that the check never says so of two that differ in what counts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.cache_questions import pairs
from headroom.cache.agreement import disagreement

SAME = """
How do I reverse a list in Python?|In Python, how can I reverse a list?
How do I reverse a list in Python?|what's the best way to reverse a list in python
How do I reset my password?|Could you please tell me how to reset my password?
How do I reset my password?|What is the procedure for resetting my password?
How can a list be sorted in Java?|How do I sort a list in Java?
I need to boil an egg. How do I do that?|how to boil an egg
What is the capital of France?|what's France's capital?
What is the capital of France?|Tell me the capital of France.
What is the capital of France?|Do you know what the capital of France is?
What is the capital of France?|what is the capital of france
Why is the sky blue?|What is the reason the sky is blue?
Why is the sky blue?|Can you explain why the sky is blue?
What is the difference between TCP and UDP?|How does UDP differ from TCP?
Write a poem about the sea.|Can you compose a poem about the sea?
When did World War II end?|Could you tell me when World War II ended?
What is a black hole?|What are black holes?
Explain recursion|What is recursion?
How many people live in Canada?|What is the population of Canada?
Who wrote Hamlet?|Who is the author of Hamlet?
Does caffeine raise blood pressure?|I'd like to know if caffeine raises blood pressure.
What is 1,000 kilometers in miles?|What is 1000 km in miles?
Hi! How do I close an account? Thanks!|How do I close an account?
Hi !! How do I close an account ?|How do I close an account?
How do I close an account??|How do I close an account?
What is the value of x ?|What is the value of x?
What does the ?? operator do in Perl ?|what does the ?? operator do in Perl
In Rust, what does ! mean?|What does ! mean in Rust?
Is it "big", or is it "small"?|Is it "big" or is it "small"?
I have a list . How do I sort it ?|I have a list. How do I sort it?
What are the pros and cons of tea?|What are the advantages and drawbacks of tea?
""".strip().splitlines()
OTHER = """
Convert 5 km to miles|Convert 6 km to miles|numbers
What is 2 * (3 + 4)?|What is 2 * 3 + 4?|identifiers
Translate 'hello' to French|Translate 'hallo' to French|quoted
Is it safe to eat X?|Is it not safe to eat X?|negation
When can I leave?|When can't I leave?|negation
How do I clean Polish silver?|How do I clean polish silver?|case
Can you tell us more?|Can you tell US more?|case
Does caffeine raise blood pressure?|Caffeine raises blood pressure.|act
Convert celsius to fahrenheit|Convert fahrenheit to celsius|order
Who defeated Rome?|Who did Rome defeat?|words
Does the dog bite the man?|Does the man bite the dog?|order
What is time?|What is the time?|words
What is my IP address?|What is an IP address?|words
How do you feel?|How do I feel?|words
How do I fill a form?|How do I file a form?|words
How do I found a company?|How do I find a company?|words
Who is the CEO of Intel?|Who was the CEO of Intel?|words
What is the best movie?|What are the best movies?|words
How do I add a few users?|How do I add few users?|words
Tell me a joke.|What is a joke?|act
What is the meaning of life?|What is life?|act
What color is the sky?|What is the sky?|act
How do I spell colour?|How do I spell color?|words
How do I enable SSH?|How do I disable SSH?|words
What does the ?? operator do in JavaScript?|What does the ?. operator do in JavaScript?|identifiers
What does the .. operator do in Ruby?|What does the ... operator do in Ruby?|identifiers
What does : mean in Python?|What does ; mean in Python?|identifiers
What does ! mean in Rust?|What does ? mean in Rust?|identifiers
In Rust, what is ! ?|In Rust, what is ? ?|identifiers
In Rust, what is !|In Rust, what is ?|identifiers
What is the meaning of !|What is the meaning of ?|identifiers
What is the meaning of ! in C|What is the meaning of in C|identifiers
What is 5!?|What is 5?|identifiers
How do I compute `n`!|How do I compute `n`|identifiers
How do I compute (n + 1)!|How do I compute (n + 1)|identifiers
What does the save! method do?|What does the save? method do?|identifiers
What is the difference between sort and sort!?|What is the difference between sort and sort?|identifiers
What does std:: mean?|What does std mean?|identifiers
What is String??|What is String?|identifiers
What does the delete operator do in JavaScript?|What does the remove operator do in JavaScript?|words
What does the GET method do in HTTP?|What does the OBTAIN method do in HTTP?|words
What does cons do in Lisp?|What does drawbacks do in Lisp?|words
How do I open Google docs?|How do I open Google documentation?|words
""".strip().splitlines()


@pytest.mark.parametrize("row", SAME)
def test_harmless_differences(row: str) -> None:
    one, other = row.split("|")
    assert (disagreement(one, other), disagreement(other, one)) == ("", "")


@pytest.mark.parametrize("row", OTHER)
def test_differences_that_count(row: str) -> None:
    one, other, _ = row.split("|")
    assert disagreement(one, other)
    assert disagreement(other, one)


@pytest.mark.parametrize(
    "row", [row for row in OTHER if row.split("|")[2] in ("numbers", "quoted", "identifiers", "negation", "case", "order")]
)
def test_the_reason_says_what_differs(row: str) -> None:
    one, other, reason = row.split("|")
    assert disagreement(one, other) == reason


def test_the_measured_set_has_no_false_hit_at_any_threshold() -> None:
    """The half that the rules were not written with included; how many paraphrases agree is measured by benchmarks.cache_quality."""
    found = pairs()
    assert len(found) > 2000
    assert [pair for pair in found if not pair.same and not disagreement(pair.one, pair.other)] == []
    assert sum(not disagreement(pair.one, pair.other) for pair in found if pair.same and pair.half == "test") > 300


VOCABULARY = "how do i the a open close not what is 5 6 km mile Paris Rome who did beat why in on python list lists with without"
questions = st.lists(st.sampled_from(VOCABULARY.split()), min_size=1, max_size=12).map(" ".join)


@given(questions, questions)
def test_it_is_symmetric_and_numbers_and_negations_count(one: str, other: str) -> None:
    reason = disagreement(one, other)
    assert bool(reason) == bool(disagreement(other, one))
    if not reason:
        assert sorted(re.findall(r"\d+", one)) == sorted(re.findall(r"\d+", other))
        assert len(re.findall(r"\bnot\b|\bwithout\b", one)) == len(re.findall(r"\bnot\b|\bwithout\b", other))


@given(questions, st.integers(0, 11), st.sampled_from(["zebra", "7", "never", "Berlin", "`x`"]))
def test_a_word_of_no_list_that_is_added_or_exchanged_counts(text: str, place: int, new: str) -> None:
    words = text.split()
    added = " ".join([*words[:place], new, *words[place:]])
    exchanged = " ".join([*words[:place], new, *words[place + 1 :]])
    assert disagreement(text, added)
    assert disagreement(text, exchanged)
    assert disagreement(added, added.replace(new, "other")) or new in "other"


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_compared(one: str, other: str) -> None:
    assert disagreement(one, one) == ""
    disagreement(one, other)
