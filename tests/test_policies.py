"""Policies: the first rule that matches, what it sets, and errors that name their line."""

from __future__ import annotations

import pytest

from headroom.errors import Forbidden, SettingsError
from headroom.model import Policy
from headroom.policies import CacheRule, Table, parsed

FILE = b"""
version: 7
rules:
  - name: trial
    match: {route: /v1/messages, team: [data, "search-*"], model: "claude-*"}
    set:
      mode: shadow
      fidelity: lossless
      min_tokens: 50
  - name: data
    match:
      team: data
    set:
      llmlingua: true
      llmlingua_rate: 0.4
      cache: {sampled: true, semantic: true, threshold: 0.95}
      models: ["claude-*", gpt-4o]
  - name: quiet
    match: {route: "/v1/chat/*"}
    set: {mode: off, cache: off}
    pin: false
"""


def table(raw: bytes = FILE) -> Table:
    return Table(parsed(raw, "policies.yaml"), Policy())


@pytest.mark.parametrize(
    ("route", "team", "model", "rule"),
    [
        ("/v1/messages", "data", "claude-sonnet-4-5", "trial"),
        ("/v1/messages", "search-eu", "claude-haiku-4-5", "trial"),
        ("/v1/messages", "data", "gpt-4o", "data"),
        ("/v1/responses", "data", "claude-sonnet-4-5", "data"),
        ("/v1/chat/completions", "data", "gpt-4o", "data"),
        ("/v1/chat/completions", "", "gpt-4o", "quiet"),
        ("/v1/messages", "", "claude-sonnet-4-5", ""),
        ("/v1/messages", "database", "claude-sonnet-4-5", ""),
    ],
)
def test_the_first_rule_that_matches_decides(route: str, team: str, model: str, rule: str) -> None:
    assert table().treatment(route, team, model).rule == rule


def test_what_a_rule_sets_and_what_it_leaves() -> None:
    trial, data, quiet, none = (
        table().treatment(*place)
        for place in (
            ("/v1/messages", "data", "claude-x"),
            ("/", "data", "x"),
            ("/v1/chat/completions", "", ""),
            ("/", "", ""),
        )
    )
    assert (trial.mode, trial.policy, trial.cache) == ("shadow", Policy("lossless", 50), CacheRule())
    assert (data.mode, data.policy) == ("optimize", Policy(llmlingua=True, llmlingua_rate=0.4))
    assert data.cache == CacheRule(sampled=True, semantic=True, threshold=0.95)
    assert data.models == ("claude-*", "gpt-4o")
    assert (quiet.mode, quiet.cache.enabled, quiet.pin) == ("off", False, False)
    assert (none.mode, none.policy, none.rule, none.pin) == ("optimize", Policy(), "", True)
    assert {one.version for one in (trial, data, quiet, none)} == {table().version}


def test_a_model_that_is_not_allowed_is_refused_by_the_name_of_the_rule() -> None:
    treatment = table().treatment("/v1/messages", "data", "o3")
    for model, readable in (("o3", True), ("claude-x", False)):
        with pytest.raises(Forbidden, match=r"policy data .* allows claude-\*, gpt-4o"):
            treatment.admit(model, readable=readable)
    treatment.admit("gpt-4o")
    table().treatment("/v1/messages", "", "o3").admit("o3")


def test_of_a_request_whose_model_is_unknown_every_rule_it_may_meet_counts() -> None:
    assert [one.rule for one in table().unread("/v1/messages", "data")] == ["trial", "data"]
    assert [one.rule for one in table().unread("/v1/chat/completions", "")] == ["quiet"]
    assert list(table().unread("/v1/embeddings", "")) == []


def test_what_a_conversation_began_under_is_kept_but_for_cache_and_models() -> None:
    old = table().treatment("/v1/messages", "data", "claude-x").written()
    now = table(b"rules: [{name: new, set: {mode: off, models: [m], cache: off}}]").treatment("/v1/messages", "data", "claude-x")
    kept = now.as_begun(old)
    assert (kept.rule, kept.version, kept.mode, kept.policy) == ("trial", table().version, "shadow", Policy("lossless", 50))
    assert (kept.models, kept.cache.enabled) == (("m",), False)


def test_llmlingua_is_part_of_what_a_result_depends_on() -> None:
    digests = {Policy(llmlingua=on, llmlingua_rate=rate).digest() for on, rate in ((True, None), (True, 0.4), (True, 0.5))}
    assert len(digests | {Policy().digest()}) == 4
    assert Policy(llmlingua_rate=0.4).digest() == Policy().digest() == "1:reversible:150"


def test_no_two_contents_have_one_version() -> None:
    versions = [
        parsed(FILE, "f").digest,
        parsed(FILE.replace(b"0.95", b"0.96"), "f").digest,
        parsed(FILE.replace(b"version: 7", b""), "f").digest,
    ]
    assert len(set(versions)) == 3
    assert versions[0].startswith("7-")
    assert versions[0] == parsed(FILE + b"# a comment changes nothing\n", "f").digest
    assert versions[0].endswith(versions[2])
    assert parsed(b"version: 2026-11-25", "f").digest.startswith("2026-11-25-")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        (b"mode: shadow", b"mode: shaddow", 7, "rules.0.set.mode: Input should be 'optimize', 'shadow' or 'off'"),
        (b"      mode: shadow", b"      mood: shadow", 7, "rules.0.set.mood: unknown; did you mean mode?"),
        (b"min_tokens: 50", b"min_tokens: none", 9, "rules.0.set.min_tokens"),
        (b"  - name: data", b"  - title: data", 10, "rules.1.name: Field required"),
        (b"  - name: quiet", b"  - name: data", 18, "rules.2.name: another rule has this name"),
        (b"threshold: 0.95", b"threshold: 95", 16, "rules.1.set.cache.threshold"),
        (b"      llmlingua: true", b"      llmlingua: true\n      llmlingua: false", 15, "llmlingua stands there twice, first in line 14"),
        (b'models: ["claude-*", gpt-4o]', b"models: []", 17, "rules.1.set.models"),
        (b"    match:\n      team: data", b"    match:\n     team: data\n      x: y", 13, "not valid YAML"),
        (b"version: 7", b"version: \xff", None, "not valid YAML"),
        (b"version: 7", b"version: [", 4, "not valid YAML"),
        (b"      team: data", b"      colour: red", 12, "rules.1.match.colour: unknown; here may stand route, team, model"),
        (b"version: 7\nrules:", b"rulez:", 2, "rulez: unknown; did you mean rules?"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_line(old: bytes, new: bytes, line: int | None, says: str) -> None:
    assert old in FILE
    with pytest.raises(SettingsError) as refused:
        parsed(FILE.replace(old, new), "policies.yaml")
    where = f"policies.yaml, line {line}: " if line else "policies.yaml: "
    assert where in refused.value.message
    assert says in refused.value.message


def test_a_file_that_eats_its_reader_is_refused() -> None:
    for raw in (b"x" * 1_000_001, b"&a [*a]", b"[" * 50_000):
        with pytest.raises(SettingsError, match=r"policies\.yaml"):
            parsed(raw, "policies.yaml")
