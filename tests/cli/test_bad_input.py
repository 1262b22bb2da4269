"""What no command can use is refused in a line that says what is wrong, and never by a traceback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from headroom.cli.main import main
from headroom.cli.options import Finite
from headroom.settings.egress import loopback

NOBODY = ("--url", "http://127.0.0.1:1")
ODD = "\udcff"  # a byte that is no UTF-8, as an argument holds it
LOAD = ("capacity", "--users", "9", "--requests-per-user-hour")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("retrieve", "x", "--url", "http://[::1"), 1, "is not a base URL"),
        (("stats", "--url", "http://[::1"), 1, "is not a base URL"),
        (("retrieve", "x", "--key", "é", *NOBODY), 1, "the key has characters that no HTTP header takes"),
        (("retrieve", "x", "--key", "secret\nline", *NOBODY), 1, "the key has characters that no HTTP header takes"),
        (("retrieve", "x", ODD, *NOBODY), 1, "cannot be sent"),
        (("retrieve", ODD, *NOBODY), 1, "no answer from"),
        (("keys", "create", "--days", "inf"), 2, "--days"),
        (("keys", "create", "--days", "nan", *NOBODY), 2, "nan is not a finite number"),
        (("keys", "create", "--budget", "nan", *NOBODY), 2, "nan is not a finite number"),
        (("keys", "create", "--rpm", "9" * 30), 1, "rpm: Input should be less than"),
        (("keys", "create", "--name", ODD, *NOBODY), 1, "cannot be sent"),
        (("keys", "revoke", ODD, *NOBODY), 1, "no answer from"),
        (("keys", "team", "set", ODD, "--rpm", "5"), 1, "team: "),
        (("keys", "team", "set", ODD, *NOBODY), 1, "no answer from"),
        (("keys", "team", "set", "data", "--budget", "nan"), 2, "nan is not a finite number"),
        (("keys", "team", "remove", ODD), 1, "There is no team"),
        (("keys", "team", "remove", ODD, *NOBODY), 1, "no answer from"),
        (("batch", "in.jsonl", "file", "--workers", "0"), 1, "file is a file: name an empty or new folder"),
        (("batch", "in.jsonl", "file/out", "--workers", "0"), 1, "file/out"),
        (("batch", ODD, "out", "--workers", "0"), 1, "cannot be used"),
        (("batch", "in.jsonl", "~nobody-of-this-name/out", "--workers", "0"), 1, "cannot be used"),
        (("batch", "in.jsonl", "out", "--chunk-mb", "nan"), 2, "nan is not a finite number"),
        (("batch", "in.jsonl", "out", "--chunk-mb", "inf"), 2, "--chunk-mb"),
        (("batch", "in.jsonl", "out", "--chunk-mb", "1e-9"), 2, "--chunk-mb"),
        (("batch", "in.jsonl", "out", "--max-errors", "nan"), 2, "nan is not a finite number"),
        ((*LOAD, "nan"), 2, "nan is not a finite number"),
        ((*LOAD, "4", "--prompt-tokens", "9" * 400), 2, "--prompt-tokens"),
        ((*LOAD, "4", "--users", "9" * 400), 2, "--users"),
    ],
)
def test_is_refused_in_a_line(words: tuple[str, ...], code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("mine")
    Path("in.jsonl").write_text('{"messages": []}\n')
    refused = CliRunner().invoke(main, words)
    assert isinstance(refused.exception, SystemExit), refused.exception
    assert (refused.exit_code, says in refused.stderr) == (code, True), refused.stderr
    said = refused.stderr[refused.stderr.index("Error: ") :]
    assert said.count("\n") == 1
    assert "secret" not in refused.stderr
    assert Path("file").read_text() == "mine"


class _Other(BaseHTTPRequestHandler):
    """A server that answers everything, and is no Headroom."""

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "15")
        self.end_headers()
        self.wfile.write(b'{"status":"up"}')

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def other() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "words",
    [
        ("stats",),
        ("savings",),
        ("telemetry", "--show"),
        ("retrieve", "x"),
        ("retrieve", "x", "query"),
        ("keys", "create"),
        ("keys", "list"),
        ("keys", "revoke", "x"),
        ("keys", "team", "set", "data", "--rpm", "3"),
        ("keys", "team", "list"),
        ("keys", "team", "remove", "data"),
    ],
    ids=" ".join,
)
def test_an_answer_of_another_server_is_told_in_a_line(words: tuple[str, ...], other: str) -> None:
    refused = CliRunner().invoke(main, [*words, "--url", other])
    assert isinstance(refused.exception, SystemExit), refused.exception
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.endswith("answered 200: this does not look like Headroom\n")


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Parameter]]:
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _options(inner, context)
    for option in command.params:
        yield f"{command.name} {option.name}", option


def test_every_option_that_takes_a_number_takes_a_finite_one() -> None:
    floats = click.types.FloatParamType
    numbers = {name: option.type for name, option in _options(main, click.Context(main)) if isinstance(option.type, floats)}
    assert len(numbers) > 10
    assert {name for name, kind in numbers.items() if not isinstance(kind, Finite)} == set()


def test_what_is_no_url_is_not_this_machine() -> None:
    assert not loopback("http://[::1")
    assert loopback("http://[::1]:8787")
