"""`headroom batch`: every row once, smaller or as it was, whatever happens on the way."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from headroom.batch.chunks import read
from headroom.batch.plan import plan
from headroom.cli.main import main
from tests.batch.kills import killed_until_whole
from tests.proxy.faces import anthropic_turns, openai_turns, rows
from tests.transcripts.samples import written


def batch(*words: object) -> Result:
    return CliRunner().invoke(main, ("batch", *map(str, words), "--workers", "0"))


def talk(number: int, count: int = 40) -> dict[str, Any]:
    call = {"id": "c", "type": "function", "function": {"name": "list", "arguments": "{}"}}
    return {
        "id": f"talk-{number}",
        "kept": {"as": ["it", "was"]},
        "messages": [
            {"role": "user", "content": "Which are there?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": rows(number, count)},
            {"role": "user", "content": "And now?"},
        ],
    }


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(out.glob("*.jsonl")) for line in file.read_text().splitlines()]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "home"))


def test_every_kind_of_row(tmp_path: Path) -> None:
    source = [
        talk(1),
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", "messages": openai_turns(2)}},
        {"custom_id": "b", "params": {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": anthropic_turns(2)}},
        {"custom_id": "c", "url": "/v1/responses", "body": {"model": "gpt-5", "input": "How are you?"}},
    ]
    done = batch(written(tmp_path / "in.jsonl", source), tmp_path / "out")
    assert done.exit_code == 0, done.output
    found = lines(tmp_path / "out")
    assert [row["status"] for row in found] == ["compressed", "compressed", "compressed", "unchanged"]
    assert found[0]["kept"] == {"as": ["it", "was"]}
    assert [message["role"] for message in found[0]["messages"]] == ["user", "assistant", "tool", "user"]
    for row, came in zip(found, source, strict=True):
        assert set(row) == {*came, "tokens_before", "tokens_after", "transforms_applied", "ccr_hashes", "status", "error"}
        assert row["tokens_after"] <= row["tokens_before"]
    assert {key: value for key, value in found[1]["body"].items() if key != "messages"} == {"model": "gpt-4o"}
    read_back = CliRunner().invoke(main, ("retrieve", found[0]["ccr_hashes"][0]))
    assert read_back.stdout.strip() == rows(1, 40), "what was left out can be read back"


def test_bad_rows_are_kept_apart_with_file_and_line(tmp_path: Path) -> None:
    good = json.dumps(talk(1)).encode()
    bad = [b"{no JSON", b"[1]", b'{"messages": 3}', b'{"messages": [3]}', b'{"a": "\xff"}', b'{"messages": []}']
    file = tmp_path / "in.jsonl"
    file.write_bytes(b"\n".join([good, *bad, good]) + b"\n")
    done = batch(file, tmp_path / "out", "--max-errors", "1", "--chunk-mb", "0.005")
    assert done.exit_code == 0, done.output
    assert len(lines(tmp_path / "out")) == 2
    errors = [json.loads(line) for one in sorted((tmp_path / "out" / "errors").iterdir()) for line in one.read_text().splitlines()]
    assert [(row["file"], row["line"]) for row in errors] == [(str(file), line) for line in range(2, 8)]
    assert all(row["error"] and row["status"] == "error" for row in errors)
    assert [row.get("text", "").encode() for row in errors if "text" in row] == [text for text in bad if text.isascii()]
    assert "6 rows could not be read" in done.stdout


def test_too_many_bad_rows_end_it(tmp_path: Path) -> None:
    file = written(tmp_path / "in.jsonl", [talk(1), {"a": 1}, talk(2)])
    done = batch(file, tmp_path / "out")
    assert done.exit_code == 1
    assert "1 of 3 rows could not be read, more than 5%" in done.stderr
    assert f"{file}:2: " in done.stderr
    again = batch(file, tmp_path / "out", "--resume", "--max-errors", "0.5")
    assert again.exit_code == 0, again.output
    assert [row["id"] for row in lines(tmp_path / "out")] == ["talk-1", "talk-2"]


@pytest.mark.parametrize("kind", ["json", "structs"])
def test_parquet(kind: str, tmp_path: Path) -> None:
    talks = [{"id": n, "note": "x", "messages": anthropic_text(n)} for n in range(6)]
    if kind == "json":
        talks = [{**one, "messages": json.dumps(one["messages"])} for one in talks]
    pq.write_table(pa.Table.from_pylist(talks), tmp_path / "in.parquet", row_group_size=2)
    done = batch(tmp_path / "in.parquet", tmp_path / "out", "--chunk-mb", "0.001")
    assert done.exit_code == 0, done.output
    parts = sorted((tmp_path / "out").glob("part-*.parquet"))
    assert len(parts) == 3
    table = pa.concat_tables(pq.read_table(part) for part in parts)
    assert table.column("id").to_pylist() == list(range(6))
    assert set(table.column("status").to_pylist()) == {"compressed"}
    assert table.schema.field("messages").type == pq.read_schema(tmp_path / "in.parquet").field("messages").type
    summary = pq.read_table(tmp_path / "out" / "summary.parquet").to_pylist()
    assert sum(row["rows"] for row in summary) == 6


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, 2, 3], pa.time64("ns")),
        pa.array([2**62, 5, 2**62], pa.timestamp("us")),
        pa.array([1, 2, 3], pa.timestamp("us", "Mars/Olympus")),
        pa.array([b"\xff", b"x", b"\xff"]).view(pa.string()),
    ],
    ids=["nanoseconds", "the year 148108", "no such zone", "not UTF-8"],
)
@pytest.mark.parametrize("name", ["id", "other"])
def test_columns_of_parquet_stay_as_they_are_whatever_they_hold(column: pa.Array, name: str, tmp_path: Path) -> None:
    messages = [json.dumps(anthropic_text(n)) for n in range(2)] + ["none"]
    source = pa.Table.from_arrays(
        [pa.array(messages), column, pa.array([1, 2, 3]), pa.array([4, 5, 6])], ["messages", name, "twice", "twice"]
    )
    pq.write_table(source, tmp_path / "in.parquet")
    done = batch(tmp_path / "in.parquet", tmp_path / "out", "--max-errors", "0.5")
    assert done.exit_code == 0, done.output
    (part,) = (tmp_path / "out").glob("part-*.parquet")
    found = pq.ParquetFile(part).read()
    assert found.column("status").to_pylist() == ["compressed"] * 2
    assert [found.column(n) for n in range(1, 4)] == [source.column(n).slice(0, 2) for n in range(1, 4)]
    (bad,) = lines(tmp_path / "out" / "errors")
    assert (bad["line"], bad["row"]["messages"]) == (3, "none")


def anthropic_text(seed: int) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": f"List them.\n\n```json\n{rows(seed)}\n```"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "And now?"},
    ]


def test_an_output_that_is_there_is_not_touched(tmp_path: Path) -> None:
    file = written(tmp_path / "in.jsonl", [talk(1)])
    assert batch(file, tmp_path / "out").exit_code == 0
    again = batch(file, tmp_path / "out")
    assert again.exit_code == 1
    assert "--resume" in again.stderr
    written(file, [talk(1), talk(2)])
    other = batch(file, tmp_path / "out", "--resume")
    assert other.exit_code == 1
    assert "another input" in other.stderr
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("x")
    assert "is not empty" in batch(file, foreign).stderr
    assert batch(tmp_path / "gone", tmp_path / "new").exit_code == 1
    assert "holds no .jsonl" in batch(foreign, tmp_path / "new").stderr


def test_an_output_within_its_input_is_none_of_it(tmp_path: Path) -> None:
    written(tmp_path / "in.jsonl", [talk(1)])
    written(tmp_path / "out-of-order.jsonl", [talk(2)])
    for _ in range(2):
        done = batch(tmp_path, tmp_path / "out", "--resume")
        assert done.exit_code == 0, done.output
    assert [row["id"] for row in lines(tmp_path / "out")] == ["talk-1", "talk-2"]


@pytest.mark.parametrize("size", [1, 7, 100, 5000, 10**7])
def test_any_chunks_hold_every_line_once(size: int, tmp_path: Path) -> None:
    draw = random.Random(size)
    values = [{"n": n, "text": "é" * draw.randrange(60)} for n in range(40)]
    file = tmp_path / "in.jsonl"
    text = "".join(json.dumps(value, ensure_ascii=False) + draw.choice(["\n", "\n\n", "\r\n"]) for value in values)
    file.write_bytes(text.rstrip().encode())
    assert [row.value for chunk in plan(str(file), str(tmp_path / "out"), size).chunks for row in read(chunk)] == values


def test_ids_that_come_twice_are_counted(tmp_path: Path) -> None:
    done = batch(written(tmp_path / "in.jsonl", [talk(1), talk(2), talk(1)]), tmp_path / "out", "--json")
    told = json.loads(done.stdout)
    assert (told["rows"], told["duplicates"]) == (3, 1)


def _outputs(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.glob("part-*.jsonl")}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return written(tmp_path / "many.jsonl", [talk(n, 60) for n in range(150)])


def test_killed_again_and_again_every_row_is_there_once(many: Path, tmp_path: Path) -> None:
    """And the output is the same, byte for byte, as that of a run which nobody disturbed."""
    assert batch(many, tmp_path / "whole", "--chunk-mb", "0.02").exit_code == 0
    out = tmp_path / "out"
    kills = killed_until_whole(str(many), str(out), (out / "_state").exists, lambda: len(_outputs(out)), 5)
    assert kills >= 3
    assert _outputs(tmp_path / "out") == _outputs(tmp_path / "whole")
