"""`headroom simulate`: what would have been saved, one conversation explained, and every part of every score."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from headroom.cli.main import main
from headroom.scoring.importance import WEIGHTS
from headroom.transcripts.read import read
from tests.context.agents import agent, user
from tests.provider import WAIT_S, Provider
from tests.proxy.faces import embedded, settings_for
from tests.transcripts import samples
from tests.transcripts.samples import written


def simulate(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ("simulate", *arguments), input=stdin)


@pytest.fixture
def transcripts(tmp_path: Path) -> Path:
    """Of three kinds, one of them with a line that is none."""
    folder = tmp_path / "transcripts"
    written(folder / "claude.jsonl", samples.claude_code())
    written(folder / "codex" / "rollout-1.jsonl", samples.codex())
    written(folder / "talks.jsonl", [samples.messages("one"), samples.messages("two")]).open("a").write("no JSON\n")
    return folder


def test_figures_for_machines(transcripts: Path) -> None:
    done = simulate(str(transcripts), "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert (figures["conversations"], figures["turns"]) == (4, 11)
    assert figures["tokens"]["headroom"] < 0.7 * figures["tokens"]["direct"]
    assert figures["prompts_usd"]["headroom"] < figures["prompts_usd"]["direct"]
    assert figures["broken_prefixes"] == {"direct": 0, "headroom": 0}
    assert figures["left_out_tokens"]["smart_crusher"] > 1000
    assert figures["arguments"]["named_before"] == 2, "`node-298` of the listings, which two of the agents ask for"
    assert figures["paid_usd"] > 0.07, "20,000 tokens were written to the cache"
    assert "talks.jsonl:3: not JSON" in done.stderr


def test_one_screen(transcripts: Path) -> None:
    done = simulate(str(transcripts))
    assert done.exit_code == 0, done.output
    shown = done.stdout
    assert shown.startswith("4 conversations, 11 requests (Claude Code, Codex, messages)")
    assert all(words in shown for words in ("cost of prompts", "Where it comes from", "JSON", "gpt-5.1-codex (Codex)", "Most to save"))
    assert len(shown.splitlines()) < 60


def test_a_page_of_html(transcripts: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    lines = [{"id": "<script>alert(1)</script>", **{k: v for k, v in samples.messages().items() if k != "id"}}]
    assert simulate(str(transcripts), str(written(tmp_path / "x.jsonl", lines)), "--html", str(page)).exit_code == 0
    text = page.read_text()
    assert "What Headroom would have saved" in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=", text), "nothing is loaded"
    assert simulate(str(transcripts), "--html", str(tmp_path / "no" / "where.html")).exit_code == 1


def test_settings_are_compared(transcripts: Path, tmp_path: Path) -> None:
    for name in ("lossless", "off"):
        (tmp_path / f"{name}.toml").write_text(f'[compression]\nfidelity = "{name}"\n')
    words = [part for name in ("lossless", "off") for part in ("--policy", str(tmp_path / f"{name}.toml"))]
    done = simulate(str(transcripts), "--json", *words)
    lossless, off = map(json.loads, done.stdout.splitlines())
    assert lossless["policy"].endswith("lossless.toml")
    assert off["vs_direct_pct"] == 100
    assert 0 < lossless["vs_direct_pct"] < 100
    assert "without Headroom" in simulate(str(transcripts), *words).stdout


def test_it_sends_what_the_proxy_sends(provider: Provider, transcripts: Path, tmp_path: Path) -> None:
    """Byte for byte, so its figures are the proxy's."""
    done = simulate(str(transcripts / "talks.jsonl"), "--json", "--limit", "1")
    (conversation, *_) = read([transcripts / "talks.jsonl"])
    with embedded(settings_for(provider, tmp_path / "home")) as url:
        for turn in conversation.turns:  # type: ignore[union-attr]
            httpx.post(url + "/v1/chat/completions", json=turn.body(), timeout=WAIT_S, trust_env=False).raise_for_status()
    from headroom.tokens import counter
    from headroom.transcripts.prompt_cache import Blocks

    blocks = Blocks(counter("gpt-4o", None).count)
    assert json.loads(done.stdout)["tokens"]["headroom"] == sum(
        block.tokens for request in provider.requests for block in blocks.of(request.json)
    )


def test_nothing_is_kept(transcripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    assert simulate(str(transcripts)).exit_code == 0
    assert not (tmp_path / "home").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
def test_explain_shows_the_parts_of_each_score(dialect: str) -> None:
    body = {"model": "gpt-4o", "messages": agent(dialect, random.Random(2), 9, lines=30)}
    done = simulate("-", "--window", "8000", "--explain", stdin=json.dumps(body))
    assert done.exit_code == 0, done.output
    before, table = done.stdout.split("window 8,000 (gpt-4o): ")
    assert "the last of" in before.splitlines()[0]
    head, *lines = table.splitlines()
    assert "leave" in head
    assert all(factor in lines[0] for factor in WEIGHTS)
    rows = lines[2:]
    assert {row.split()[-1] for row in rows} <= {"leaves", "smaller", "stays"}
    for row in rows:
        _, _, score, *parts = row.split()
        values = [float(part) for part in parts[: len(WEIGHTS)]]
        assert float(score) == pytest.approx(sum(map(float.__mul__, values, WEIGHTS.values())), abs=0.02)


def test_explain_takes_the_conversation_that_is_named(transcripts: Path) -> None:
    done = simulate(str(transcripts), "--explain", "tw")
    assert done.stdout.startswith("two: the last of 3 requests, ")
    before, _, scores = done.stdout.partition("two: 6 messages")
    assert re.search(r"^ *4 +[\d,]+ +[\d,]+ +-\d+ % +tool ", before, re.MULTILINE)
    assert "list_nodes" in scores
    missing = simulate(str(transcripts), "--explain", "nobody")
    assert missing.exit_code == 1
    assert "'nobody'" in missing.stderr


def test_what_cannot_fit_says_why() -> None:
    done = simulate("-", "--window", "1000", "--explain", stdin=json.dumps({"messages": user("word " * 3000)}))
    assert "context_protected_exceeds_window" in done.stdout


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"model": "m"}', '{"messages": []}', '{"messages": [3]}'])
def test_what_is_no_conversation_is_refused(text: str) -> None:
    done = simulate("-", stdin=text)
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_no_transcripts_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CODEX_HOME", raising=False)
    monkeypatch.delenv("CLAUDE_CONFIG_DIR", raising=False)
    done = simulate()
    assert done.exit_code == 1
    assert "name files or folders" in done.stderr
    gone = simulate(str(tmp_path / "gone"))
    assert "there is no such file or folder" in gone.stderr
