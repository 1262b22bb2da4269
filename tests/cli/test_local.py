"""Commands that need no server: compress, retrieve, demo, doctor."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from headroom.ccr import marker
from headroom.cli.main import main
from headroom.cli.samples import Sample, payments, samples
from tests.redis_server import RedisServer, free_port, redis_server


def headroom(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin, catch_exceptions=False)


@pytest.fixture
def sample() -> Sample:
    return payments()


def test_compress_prints_the_smaller_text_and_retrieve_the_original(sample: Sample) -> None:
    done = headroom("compress", "--question", sample.question, "--tool", sample.tool, stdin=sample.output)
    assert done.exit_code == 0
    assert len(done.stdout) < len(sample.output)
    assert sample.needle in done.stdout
    assert "tokens (-" in done.stderr
    digest = next(marker.hashes(done.stdout))
    assert headroom("retrieve", digest).stdout_bytes == sample.output.encode()
    assert headroom("retrieve", f"hash={digest}]").stdout == sample.output


def test_compress_json_has_the_fields_of_the_route(sample: Sample, tmp_path: Path) -> None:
    file = tmp_path / "payments.json"
    file.write_text(sample.output)
    answer = json.loads(headroom("compress", "--json", str(file)).stdout)
    assert answer["tokens_saved"] == answer["tokens_before"] - answer["tokens_after"] > 0
    assert answer["ccr_hashes"] == list(dict.fromkeys(marker.hashes(answer["text"])))
    assert answer["transforms_applied"][0].startswith("router:")
    assert 0 < answer["compression_ratio"] < 1


def test_compress_keeps_what_is_small_and_says_why() -> None:
    done = headroom("compress", stdin="three short words\n")
    assert done.stdout == "three short words\n"
    assert "kept as they are: too_small" in done.stderr
    answer = json.loads(headroom("compress", "--json", stdin="three short words\n").stdout)
    assert (answer["tokens_saved"], answer["compression_ratio"], answer["skip_reason"]) == (0, 1.0, "too_small")


def test_compress_off_changes_nothing(sample: Sample) -> None:
    assert headroom("compress", "--fidelity", "off", stdin=sample.output).stdout_bytes == sample.output.encode()


def test_compress_refuses_what_is_not_text() -> None:
    refused = headroom("compress", stdin=b"\xff\xfe\x00")
    assert refused.exit_code == 1
    assert "not UTF-8" in refused.stderr


def test_compress_refuses_a_fidelity_that_is_none() -> None:
    assert headroom("compress", "--fidelity", "some", stdin="text").exit_code == 2


def test_retrieve_searches(sample: Sample) -> None:
    done = headroom("compress", "--json", stdin=sample.output)
    (digest,) = json.loads(done.stdout)["ccr_hashes"]
    found = headroom("retrieve", digest, sample.needle)
    assert sample.needle in found.stdout
    assert len(found.stdout) < len(sample.output) / 10
    assert json.loads(headroom("retrieve", digest, sample.needle, "--json").stdout)["count"] >= 1
    assert headroom("retrieve", digest, "zebracrossing").exit_code == 1
    assert headroom("retrieve", digest, "  ").stdout == sample.output


def test_retrieve_of_an_unknown_hash_is_one_line() -> None:
    refused = headroom("retrieve", "0" * 16)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("Error: ")
    assert refused.stderr.count("\n") == 1


def test_samples_are_the_same_every_time_and_hold_their_needle_once_or_more() -> None:
    assert samples() == samples()
    for made in samples():
        assert made.needle in made.output
        assert made.messages[-1]["content"] == made.output


def test_demo_shows_the_answers_and_the_way_back() -> None:
    done = headroom("demo")
    assert done.exit_code == 0, done.output
    for made in samples():
        assert made.title in done.stdout
    assert "not visible" not in done.stdout
    assert done.stdout.count("identical to the original") == len(samples())


def test_demo_can_print_everything() -> None:
    done = headroom("demo", "--full")
    assert done.exit_code == 0
    assert all(made.needle in done.stdout for made in samples())


@pytest.fixture
def _free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a proxy on the usual one."""
    monkeypatch.setenv("HEADROOM_PORT", str(free_port()))


@pytest.mark.usefixtures("_free_port")
def test_doctor_finds_a_working_installation() -> None:
    done = headroom("doctor", "--offline")
    assert done.exit_code == 0, done.output
    assert "!!" not in done.stdout
    assert "written and read back; originals: 0" in headroom("doctor", "--offline").stdout.replace("\n", " "), "it leaves one behind"
    for about in ("python", "packages", "settings", "tokens", "store", "port", "access"):
        assert f"  {about} " in done.stdout


def test_doctor_says_how_to_mend_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("a file where the directory should be")
    monkeypatch.setenv("HEADROOM_STORE_PATH", str(tmp_path / "file" / "store.sqlite"))
    done = headroom("doctor", "--offline")
    assert done.exit_code == 1
    assert "!!  store" in done.stdout
    assert "HEADROOM_STORE_PATH" in done.stdout


@pytest.mark.usefixtures("_free_port")
def test_doctor_says_whether_texts_are_compared_by_meaning(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, says in (
        (model, "ok  embeddings"),
        ("off", "off; texts are compared by their words"),
        ("no/such-model", "hf download no/such-model"),
    ):
        monkeypatch.setenv("HEADROOM_EMBED_MODEL", name)
        done = headroom("doctor", "--offline")
        assert done.exit_code == 0
        assert says in done.stdout


def test_doctor_names_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_PORT", "many")
    done = headroom("doctor", "--offline")
    assert done.exit_code == 1
    assert "!!  settings     HEADROOM_PORT" in done.stdout


def test_doctor_tells_of_a_variable_that_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_FIDELTY", "off")
    done = headroom("doctor", "--offline")
    assert done.exit_code == 0
    assert "--  environment  no setting is called HEADROOM_FIDELTY; did you mean HEADROOM_FIDELITY?" in done.stdout


def test_doctor_sees_a_stranger_on_the_port_and_a_provider_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))  # bound and not listening: whoever connects is refused
        port = stranger.getsockname()[1]
        monkeypatch.setenv("HEADROOM_PORT", str(port))
        monkeypatch.setenv("ANTHROPIC_TARGET_API_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OPENAI_TARGET_API_URL", f"http://127.0.0.1:{port}")
        done = headroom("doctor")
    assert done.exit_code == 1
    assert "!!  port" in done.stdout
    assert f"http://127.0.0.1:{port} does not answer" in done.stdout
    assert "set ANTHROPIC_TARGET_API_URL" in done.stdout


@pytest.mark.usefixtures("_free_port")
def test_certificates_that_cannot_be_read_are_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    done = headroom("doctor")
    assert done.exit_code == 1
    assert "!!  providers    SSL_CERT_FILE or SSL_CERT_DIR: the certificates cannot be read (No such file or directory)" in done.stdout
    done = headroom("proxy")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("Error: SSL_CERT_FILE or SSL_CERT_DIR: ")
    done = headroom("stats", "--url", "https://headroom.invalid")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "SSL_CERT_FILE or SSL_CERT_DIR is set to what cannot be used here" in done.stderr


@pytest.mark.usefixtures("_free_port")
def test_doctor_goes_to_providers_as_the_proxy_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the HTTP proxy of the environment; one that is none is told."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    for variable in ("ANTHROPIC_TARGET_API_URL", "OPENAI_TARGET_API_URL"):
        monkeypatch.setenv(variable, "https://provider.invalid")
    done = headroom("doctor")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("https://provider.invalid does not answer ([Errno 111]") == 2, "its name was not looked up here"
    monkeypatch.setenv("HTTPS_PROXY", "ftp://127.0.0.1:9")
    done = headroom("doctor")
    assert done.exit_code == 1
    assert "!!  providers    HTTPS_PROXY: a proxy is named as http://HOST:PORT here" in done.stdout


def test_an_http_proxy_that_cannot_be_used_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://127.0.0.1:9")
    done = headroom("stats", "--url", "https://headroom.invalid")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "HTTPS_PROXY" in done.stderr


def test_doctor_warns_off_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_HOST", "0.0.0.0")
    assert "set HEADROOM_ADMIN_KEY" in headroom("doctor", "--offline").stdout
    monkeypatch.setenv("HEADROOM_ADMIN_KEY", "k")
    assert "with the admin key" in headroom("doctor", "--offline").stdout
    monkeypatch.setenv("HEADROOM_CALLERS", "open")
    assert "every original" in headroom("doctor", "--offline").stdout


def test_doctor_says_how_redis_would_lose_something(redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_STORE_URL", redis.url)
    good = headroom("doctor", "--offline").stdout
    assert f"{redis.url} written and read back" in good.replace("\n", " ")
    assert "appendonly" not in good
    (tmp_path / "forgetful").mkdir()
    with redis_server(tmp_path / "forgetful", appendonly="no", maxmemory="100000000", maxmemory_policy="allkeys-lru") as forgetful:
        monkeypatch.setenv("HEADROOM_STORE_URL", forgetful.url)
        said = " ".join(headroom("doctor", "--offline").stdout.split())
    assert "appendonly is off" in said
    assert "set noeviction" in said
    assert "maxmemory is below store.max_mb (100 < 2048 MB)" in said
    broken = headroom("doctor", "--offline")
    assert broken.exit_code == 1
    assert "cannot be reached" in broken.stdout
