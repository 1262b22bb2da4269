"""What a reference calls an earlier text: words that no other text above fits."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import headroom
from headroom.ccr import marker
from headroom.settings import Settings
from headroom.store import open_store

_SETTINGS = Settings(home=Path("never-used"))


def order(status: str, note: str = "") -> str:
    items = [{"sku": 1000 + n, "price": 10 + n, "name": f"item number {n} blue"} for n in range(30)]
    return json.dumps({"order_id": "#W3414433", "user_id": "u_77", "status": status, "items": items, "note": note})


def file(changed: int = -1) -> str:
    return "\n".join(f"def f{n}(x): return x * {n} {'-' if n == changed else '+'} offset" for n in range(80))


PENDING, CANCELLED, NOTED = order("pending"), order("cancelled"), order("pending", "called customer")
GET = {"id": "#W3414433"}


def calls(*made: tuple[str, dict[str, Any], str | list[str]]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Watch it."}]
    for n, (tool, arguments, printed) in enumerate(made):
        texts = printed if isinstance(printed, list) else [printed]
        result = {"type": "tool_result", "tool_use_id": f"t{n}", "content": [{"type": "text", "text": text} for text in texts]}
        messages += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": f"t{n}", "name": tool, "input": arguments}]},
            {"role": "user", "content": [result]},
        ]
    return messages


def forwarded(messages: Sequence[dict[str, Any]], place: Path) -> list[str]:
    """The texts of all results, in order."""
    made = headroom.compress(messages, store=open_store(Settings(home=place)), settings=_SETTINGS).messages
    blocks = [block for message in made if isinstance(message["content"], list) for block in message["content"]]
    return [part["text"] for block in blocks if block["type"] == "tool_result" for part in block["content"]]


def heads(messages: Sequence[dict[str, Any]], place: Path) -> list[str]:
    """How each result that refers to another begins, without its hash."""
    return [re.sub(r"; original hash=.*", "", text.split("\n")[0]) for text in forwarded(messages, place) if marker.refers(text)]


def test_an_object_seen_in_three_states_is_told_by_the_one_it_names(tmp_path: Path) -> None:
    *_, second, third = forwarded(calls(("get", GET, PENDING), ("get", GET, CANCELLED), ("get", GET, NOTED)), tmp_path)
    assert second.startswith('[the JSON of get({"id": "#W3414433"}) above, complete, with these differences; original hash=')
    assert second.endswith('\nstatus = "cancelled"')
    assert third.startswith('[the JSON of the 2nd result of get({"id": "#W3414433"}) above, counting back from here, complete, with these')
    assert third.endswith('\nnote = "called customer"')
    assert marker.refers_to_object(third)


def test_a_file_as_it_was_before_the_last_edit_is_not_the_edited_one(tmp_path: Path) -> None:
    read = {"path": "a.py"}
    second, third = heads(calls(("read", read, file()), ("read", read, file(40)), ("read", read, file())), tmp_path)
    assert second == '[lines 1-40 are the same as lines 1-40 of read({"path": "a.py"}) above'
    assert third == '[lines 1-80 are the same as lines 1-80 of the 2nd result of read({"path": "a.py"}) above, counting back from here'


def test_the_nearest_of_several_is_the_latest(tmp_path: Path) -> None:
    read = {"path": "a.py"}
    other = "\n".join(f"{n} something else entirely is written here" for n in range(80))
    *_, head = heads(calls(("read", read, other), ("read", read, file()), ("read", read, file())), tmp_path)
    assert head == '[lines 1-80 are the same as lines 1-80 of the latest result of read({"path": "a.py"}) above'


def test_equal_results_need_no_number(tmp_path: Path) -> None:
    read = {"path": "a.py"}
    found = heads(calls(*(("read", read, file()) for _ in range(4))), tmp_path)
    assert set(found) == {'[lines 1-80 are the same as lines 1-80 of read({"path": "a.py"}) above'}


def test_results_that_hold_no_text_or_failed_are_counted(tmp_path: Path) -> None:
    read = {"path": "a.py"}
    messages = calls(("read", read, file()), ("read", read, []), ("read", read, "no such file"), ("read", read, file()))
    messages[6]["content"][0]["is_error"] = True
    assert heads(messages, tmp_path) == [
        '[lines 1-80 are the same as lines 1-80 of the 3rd result of read({"path": "a.py"}) above, counting back from here'
    ]


def test_calls_that_look_alike_when_shortened_are_named_whole(tmp_path: Path) -> None:
    def query(region: str) -> dict[str, Any]:
        return {"query": f"SELECT id, total FROM orders WHERE region = '{region}' AND status = 'open' ORDER BY created_at DESC LIMIT 50"}

    eu, us = json.dumps(query("EU")), query("US")
    *_, head = heads(calls(("sql", query("EU"), PENDING), ("sql", us, order("none")), ("ask", {}, PENDING)), tmp_path)
    assert head == f"[lines 1-1 are the same as lines 1-1 of sql({eu}) above"
    long = {"query": "x" * 400 + "EU" + "y" * 400}, {"query": "x" * 400 + "US" + "y" * 400}
    assert heads(calls(("sql", long[0], file()), ("sql", long[1], "none"), ("ask", {}, file())), tmp_path) == []


def test_a_result_of_several_texts_says_which(tmp_path: Path) -> None:
    read = {"path": "a.py"}
    found = heads(calls(("look", read, ["intro " * 200, file()]), ("again", read, file())), tmp_path / "a")
    assert found == ['[lines 1-80 are the same as lines 1-80 of text 2 of look({"path": "a.py"}) above']
    assert heads(calls(("look", read, [file(), file()])), tmp_path / "b") == [
        "[lines 1-80 are the same as lines 1-80 of text 1 of this result"
    ]


def test_pasted_data_is_referred_to_while_there_is_only_one(tmp_path: Path) -> None:
    def pasted(*texts: str) -> list[dict[str, Any]]:
        told = [{"role": "user", "content": f"Look at this:\n\n```\n{text}\n```\n\nWhat is it?"} for text in texts]
        return [*told, *calls(("get", GET, long))]

    long, other = order("pending", "called " * 200), order("cancelled", "called " * 200)
    assert heads(pasted(long), tmp_path / "a") == ["[the JSON of the data above, complete, with these differences"]
    assert heads(pasted(long, other), tmp_path / "b") == []


def test_what_is_referred_to_does_not_change_when_the_call_is_made_again(tmp_path: Path) -> None:
    made = [("get", GET, printed) for printed in (PENDING, CANCELLED, NOTED, CANCELLED, PENDING, NOTED)]
    before: list[str] = []
    for end in range(1, len(made) + 1):
        now = forwarded(calls(*made[:end]), tmp_path / str(end))
        assert now[: len(before)] == before
        before = now
