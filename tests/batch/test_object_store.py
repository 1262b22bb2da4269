"""`headroom batch` from one bucket to another, over HTTP: as on a disk, also killed and resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer
from pyarrow import fs

from headroom.batch.plan import Chunk
from headroom.cli.main import main
from tests.batch.kills import killed_until_whole
from tests.batch.test_batch import talk
from tests.transcripts.samples import written

_KEY = "secret-of-the-bucket"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOME", str(tmp_path / "home"))


@pytest.fixture
def query() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for bucket in ("talks", "smaller"):
        httpx.put(f"http://{host}:{port}/{bucket}").raise_for_status()
    yield f"scheme=http&endpoint_override={host}:{port}&region=us-east-1"
    httpx.post(f"http://{host}:{port}/moto-api/reset").raise_for_status()
    server.stop()


def _url(place: str, query: str) -> str:
    return f"s3://key:{_KEY}@{place}?{query}"


def _copied(source: Path, url: str) -> None:
    system, path = fs.FileSystem.from_uri(url)
    with system.open_output_stream(path) as file:
        file.write(source.read_bytes())


def _names(url: str) -> set[str]:
    """The files of a folder."""
    system, path = fs.FileSystem.from_uri(url)
    infos = system.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return {info.path.removeprefix(f"{path}/") for info in infos if info.is_file}


def _held(url: str) -> dict[str, bytes]:
    """What nobody writes any more."""
    system, path = fs.FileSystem.from_uri(url)
    return {name: system.open_input_file(f"{path}/{name}").read() for name in _names(url)}


def _batch(*words: object) -> Result:
    return CliRunner().invoke(main, ("batch", *map(str, words), "--workers", "0"))


def test_the_output_is_that_of_the_same_files_on_a_disk(query: str, tmp_path: Path) -> None:
    """Both kinds of input, a row that is none, a name that a URL would have to quote; the key of the bucket is written nowhere."""
    folder = tmp_path / "in"
    folder.mkdir()
    written(folder / "a 100%.jsonl", [talk(1), {"a": 1}, talk(2)])
    pq.write_table(pa.Table.from_pylist([{"id": 3, "messages": talk(3)["messages"]}]), folder / "b.parquet")
    for file in folder.iterdir():
        _copied(file, _url(f"talks/in/{file.name.replace('%', '%25').replace(' ', '%20')}", query))
    words = ("--max-errors", "0.5", "--chunk-mb", "0.002")
    assert _batch(folder, tmp_path / "out", *words).exit_code == 0
    done = _batch(_url("talks/in", query), _url("smaller/out", query), *words)
    assert done.exit_code == 0, done.output
    found = _held(_url("smaller/out", query))
    outputs = {name for name in found if name.startswith("part-")}
    assert {name.rpartition(".")[2] for name in outputs} == {"jsonl", "parquet"}
    assert len(outputs) > 2
    assert {name: found[name] for name in outputs} == {file.name: file.read_bytes() for file in (tmp_path / "out").glob("part-*")}
    (errors,) = [content for name, content in found.items() if name.startswith("errors/")]
    assert b'"file": "s3://talks/in/a 100%.jsonl", "line": 2' in errors
    assert not [name for name, content in found.items() if _KEY.encode() in content]
    assert "was begun before" in _batch(_url("talks/in", query), _url("smaller/out", query), *words).stderr
    assert _batch(_url("talks/in", query), _url("smaller/out", query), *words, "--resume").exit_code == 0


def test_killed_again_and_again_every_row_is_there_once(query: str, tmp_path: Path) -> None:
    many = written(tmp_path / "many.jsonl", [talk(n, 60) for n in range(30)])
    source, out = _url("talks/many.jsonl", query), _url("smaller/out", query)
    _copied(many, source)
    assert _batch(many, tmp_path / "whole", "--chunk-mb", "0.02").exit_code == 0
    kills = killed_until_whole(source, out, lambda: "_state/plan.json" in _names(out), lambda: len(_parts(out)), 2)
    assert kills >= 2
    found = {name: content for name, content in _held(out).items() if name.endswith(".jsonl")}
    assert found == {file.name: file.read_bytes() for file in (tmp_path / "whole").glob("part-*.jsonl")}


def _parts(out: str) -> set[str]:
    return {name for name in _names(out) if name.startswith("part-") and name.endswith(".jsonl")}


@pytest.mark.parametrize(
    ("source", "file", "shown"),
    [
        ("/in", "/in/a.jsonl", "/in/a.jsonl"),
        ("file:///in", "/in/a.jsonl", "/in/a.jsonl"),
        ("gs://key@bucket/in?scheme=http", "bucket/in/a.jsonl", "gs://bucket/in/a.jsonl"),
    ],
)
def test_people_are_told_of_a_file_as_they_named_it_without_a_key(source: str, file: str, shown: str) -> None:
    assert Chunk("part", file, "jsonl", 0, 1, source).shown == shown
