"""Detection: real shapes of each kind, with and without the call's word for it, and everything in between."""

from __future__ import annotations

import base64
import json
import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.content import Kind, detect

_SENTENCES = (
    "The harbour was closed for nine days after the storm, and nobody had thought of the ferries. ",
    "What they found instead was a letter, folded twice, with a list of names and no date. ",
    "It is not clear who paid for the survey; the minutes of that year are missing. ",
)


def repeat(*forms: str, count: int = 40) -> str:
    return "\n".join(
        form.format(n=number, s=number % 60, h=f"{number * 2654435761 % 2**32:08x}") for number in range(count) for form in forms
    )


LOGS = {
    "iso": "2031-05-06T07:08:{s:02}.123Z INFO api - request {h} served in {n} ms",
    "syslog": "Mar  9 11:22:{s:02} host7 cron[{n}]: (root) CMD (run-parts {h})",
    "hdfs": "310506 070{s:03} {n} INFO dfs.Node$Part: Received block blk_{n}99 of size 6710",
    "bgl": "- 1931059{n:03} 2031.03.10 R1-M0 2031-03-10-15.15.{s:02}.617956 R1-M0 RAS KERNEL INFO generating core.{n}",
    "spark": "31/06/09 20:10:{s:02} INFO storage.MemoryStore: Block piece{n} stored (estimated size 5.8 KB)",
    "apache": "[Sun Dec 04 04:47:{s:02} 2031] [notice] workerEnv.init() ok /etc/httpd/workers{n}.properties",
    "access": '10.0.0.{n} - - [10/Oct/2031:13:55:{s:02} +0000] "GET /a/{h} HTTP/1.1" 200 23{n}',
    "logfmt": "level=info ts=2031-05-22T08:33:{s:02}Z caller=main.go:{n} msg=done took={n}ms",
    "klog": "I0522 08:33:{s:02}.000001       1 controller.go:{n}] syncing {h}",
    "logcat": "03-17 16:13:{s:02}.811  1702  {n} D WindowManager: printFreezing invisible {h}",
    "kafka": "[2031-12-19 16:31:{s:02},327] TRACE Controller 0 epoch 36 started for partition [t,{n}] (state)",
    "go test": "=== RUN   TestThing{n}\n--- PASS: TestThing{n} (0.00s)",
    "pytest": "tests/test_m.py::test_case[{n}] PASSED [ {s}%]",
    "unittest": "test_case_{n} (pkg.tests.T) ... ok",
    "gitlab": "##[group]Run step {n}\nnpm warn deprecated pkg{h}",
    "no clock": "worker {n} finished chunk {h} with status done",
}

SEARCHES = {
    "grep -n": "src/pkg/mod{s}.py:{n}:    value = compute({n})",
    "windows": r"C:\code\app\mod{s}.py:{n}:text = {n}",
    "git grep markdown": "docs/guide.md:{n}:- see `thing{n}` for more, and 2031-01-01: nothing",
    "vimgrep": "src/a.rs:{n}:17:let x = {n};",
    "bare": "src/pkg/mod.py:import thing{n}",
    "context": "lib/x.rb-{n}-before\nlib/x.rb:{n}:match here\nlib/x.rb-{n}-after\n--",
    "find": "./src/pkg/sub{s}/module_{n}.py",
}

DIFF = """diff --git a/x.py b/x.py
index 1111111..2222222 100644
--- a/x.py
+++ b/x.py
@@ -1,4 +1,5 @@ def f():
 import os
-old = 1
+new = 2
+more = 3
 last = 4
"""
CODE = '''import os
from typing import Any


class Depot:
    """Holds parcels."""

    def __init__(self, size: int) -> None:
        self.size = size

    def add(self, parcel: Any) -> bool:
        if self.size <= 0:
            return False
        self.size -= 1
        return True
'''
GO = 'package depot\n\nimport "fmt"\n\nfunc Add(a, b int) int {\n\tif a > b {\n\t\treturn a\n\t}\n\tfmt.Println(b)\n\treturn b\n}\n'


@pytest.mark.parametrize("name", LOGS)
def test_logs(name: str) -> None:
    assert detect(repeat(LOGS[name]), "", "") == "log"


@pytest.mark.parametrize("name", SEARCHES)
def test_searches(name: str) -> None:
    assert detect(repeat(SEARCHES[name]), "", "") == "search"


def test_search_with_headings() -> None:
    text = "\n\n".join(f"src/mod{n}.py\n" + repeat("{n}:def f{n}(): pass", count=5) for n in range(8))
    assert detect(text, "", "") == "search"
    assert detect(text, "bash", '{"command": "rg --heading def"}') == "search"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([{"id": number, "name": "x"} for number in range(30)]),
        json.dumps({"items": list(range(30))}, indent=2),
        "  \n" + json.dumps({"a": 1}),
        "[1, 2, 3]",
        '["a", "b"]',
        "\n".join(json.dumps({"level": "info", "n": number, "time": "2031-01-01T00:00:00Z"}) for number in range(50)),
        '{"a": "' + "x" * 100_000,
    ],
)
def test_json(text: str) -> None:
    assert detect(text, "", "") == "json"


def test_json_records_between_other_lines_are_a_log() -> None:
    text = '{"level":30,"time":1900000000000,"msg":"up"}\n' + repeat("** headers -> {h}", '{{"level":30,"time":19{n},"msg":"hit"}}')
    assert detect(text, "kubectl_logs", "{}") == "log"


def test_bracketed_log_entries_are_not_json() -> None:
    assert detect(repeat("[INFO] {n} done with {h}"), "", "") == "log"
    assert detect(repeat("[2031-12-19 16:31:{s:02},327] TRACE started"), "", "") == "log"


def test_diffs() -> None:
    assert detect(DIFF, "", "") == "diff"
    assert (
        detect("commit " + "a1" * 20 + "\nAuthor: A\nDate:   now\n\n    Change x\n\n" + DIFF, "bash", '{"command": "git log -p"}') == "diff"
    )
    assert detect(DIFF.split("\n", 2)[2], "", "") == "diff"


@pytest.mark.parametrize("text", [CODE, GO])
def test_code_as_it_is_and_numbered(text: str) -> None:
    assert detect(text, "", "") == "code"
    numbered = "\n".join(f"{number:6}\t{line}" for number, line in enumerate(text.split("\n"), 1))
    assert detect(numbered, "", "") == "code"
    assert detect(numbered, "Read", '{"file_path": "depot.py"}') == "code"


def test_html() -> None:
    assert detect("<!DOCTYPE html>\n<html><body><p>Hello</p></body></html>", "", "") == "html"
    assert detect("\n<div class='a'>" + "<p>text <a href='#'>x</a></p>" * 20 + "</div>", "fetch", "") == "html"


def test_tables() -> None:
    assert detect("name,size,when\n" + repeat("part{n},{n},2031-01-01"), "", "") == "table"
    assert detect("name\tsize\twhen\n" + repeat("part{n}\t{n}\tnow"), "", "") == "table"
    assert detect("| a | b |\n|---|---|\n" + repeat("| {n} | {h} |"), "", "") == "table"
    assert detect("NAME      READY   AGE\n" + repeat("pod-{h}   1/1     {n}m"), "kubectl", "get pods") == "table"


def test_prose() -> None:
    assert detect("\n\n".join(sentence * 4 for sentence in _SENTENCES), "", "") == "prose"
    assert detect("# Title\n\n" + "\n\n".join(sentence * 4 for sentence in _SENTENCES), "read_file", '{"path": "notes.md"}') == "prose"


def test_a_transcript_is_prose() -> None:
    words, deal = " ".join(_SENTENCES).split(), random.Random(5)
    text = "\n".join(f"{who}: {' '.join(deal.sample(words, 14))}." for who in ("Ana Roe", "Minister", "ana", "Prof. Li") * 10)
    assert detect(text, "", "") == "prose"


def test_key_value_lines_are_no_search() -> None:
    yaml = "\n".join(f"section{n}:\n  image: repo/app:{n}\n  path.to/thing: value {n}\n  port: 80{n}" for n in range(20))
    assert detect(yaml, "", "") != "search"
    assert detect(yaml, "bash", '{"command": "grep -r image ."}') != "search"


def test_compiler_messages_are_a_log_for_their_errors() -> None:
    assert detect(repeat("src/a{n}.py:{n}: error: Incompatible types in assignment  [assignment]"), "", "") == "log"


def test_base64() -> None:
    data = base64.b64encode(random.Random(3).randbytes(3000)).decode()
    assert detect(data, "", "") == "base64"
    assert detect("\n".join(data[at : at + 76] for at in range(0, len(data), 76)), "", "") == "base64"
    assert detect("data:image/png;base64," + data, "", "") == "base64"


def test_the_content_outweighs_the_call() -> None:
    log = repeat(LOGS["iso"])
    assert detect(log, "read_file", '{"path": "app.py"}') == "log"
    assert detect(log, "bash", '{"command": "cat app.log | grep request"}') == "log"
    plain = "\n\n".join(
        "\n".join([f"def pay{k}(order):", *(f"    total += fee_{n}(order)" for n in range(40)), "    return total"]) for k in range(12)
    )
    assert detect(plain, "bash", '{"command": "tail -n 520 src/pay.py"}') == "code"
    assert detect(CODE, "bash", '{"command": "tail -50 depot.py"}') == "code"


def test_empty_and_blank_texts() -> None:
    assert detect("", "", "") == "unknown"
    assert detect(" \n\t\n", "grep", "") == "unknown"


@given(st.text(), st.text(max_size=20), st.text(max_size=40))
def test_any_text_has_one_kind(text: str, tool: str, arguments: str) -> None:
    kind = detect(text, tool, arguments)
    assert kind in get_args(Kind)
    assert kind == detect(text, tool, arguments)


@pytest.mark.parametrize(
    "sign", ["a", "1", ".", "/", "-", "a.", "a/", " ", "=", "_ ", "(", "a(", "|", "a:1", "\x00", "\n", "a\r\n", "<", "{", "["]
)
def test_hostile_texts_are_looked_at_in_bounded_time(sign: str) -> None:
    assert detect(sign * (1_000_000 // len(sign)), "grep", "x") in get_args(Kind)
