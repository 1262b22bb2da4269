"""`headroom keys`, on the store and at a running proxy."""

from __future__ import annotations

import errno
import json
import subprocess
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner

from headroom.cli.keys import command
from headroom.errors import StoreUnavailable
from tests.cli.running import HEADROOM
from tests.cli.test_local import headroom
from tests.provider import Provider
from tests.proxy.faces import HTTP, asking, serving, settings_for

HELLO = asking([{"role": "user", "content": "hello"}])


def test_made_listed_revoked_in_the_store() -> None:
    made = headroom(
        "keys", "create", "--user", "ada", "--team", "data", "--rpm", "5", "--budget", "2.5", "--model", "claude-*", "--days", "1"
    )
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key.startswith("hr-")
    assert "shown this once" in made.stderr
    listed = headroom("keys", "list").stdout
    assert key not in listed
    assert "good" in listed
    assert "data/ada  rpm 5  $2.5 daily  claude-*" in listed
    (one,) = json.loads(headroom("keys", "list", "--json").stdout)
    assert headroom("keys", "revoke", one["id"]).stdout == f"{one['id']} is revoked\n"
    assert "revoked" in headroom("keys", "list").stdout
    unknown = headroom("keys", "revoke", "key_none")
    assert (unknown.exit_code, "no key key_none" in unknown.stderr) == (1, True)
    wrong = headroom("keys", "create", "--rpm", "0")
    assert (wrong.exit_code, "rpm" in wrong.stderr) == (1, True)


def test_made_listed_revoked_at_a_proxy(provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_ADMIN_KEY", "admin-secret")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-upstream")
    with serving(settings_for(provider, tmp_path, access={"callers": "keys", "admin_key": "admin-secret"})) as url:
        made = json.loads(headroom("keys", "create", "--url", url, "--user", "ada", "--json").stdout)
        answer = HTTP.post(f"{url}/v1/messages", json=HELLO, headers={"x-api-key": made["key"]})
        assert answer.status_code == 200
        assert provider.requests[-1].header("x-api-key") == ["sk-upstream"]
        assert made["id"] in headroom("keys", "list", "--url", url).stdout
        assert "is revoked" in headroom("keys", "revoke", made["id"], "--url", url).stdout
        monkeypatch.setenv("HEADROOM_ADMIN_KEY", "wrong")
        refused = headroom("keys", "list", "--url", url)
        assert refused.exit_code == 1
        assert "admin key" in refused.stderr


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["plain", "json"])
def test_a_key_that_could_not_be_printed_is_revoked(
    form: tuple[str, ...], full: IO[str], provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_ADMIN_KEY", "admin-secret")
    with serving(settings_for(provider, tmp_path / "other", access={"callers": "keys", "admin_key": "admin-secret"})) as url:
        for where in ((), ("--url", url)):
            words = [*HEADROOM, "keys", "create", *form, *where]
            refused = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
            (one,) = json.loads(headroom("keys", "list", "--json", *where).stdout)
            told = f"Error: the key could not be printed (No space left on device): {one['id']} is revoked\n"
            assert (refused.returncode, refused.stderr, one["revoked"]) == (1, told, True)


def test_a_key_that_could_be_neither_printed_nor_revoked_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def lost(store: object, id: str) -> None:
        raise StoreUnavailable("The store is away.")

    with monkeypatch.context() as patched:
        patched.setattr("headroom.cli.keys.click.echo", full)
        patched.setattr("headroom.limits.keys.revoke", lost)
        refused = CliRunner().invoke(command, ["create"], standalone_mode=False)
    (one,) = json.loads(headroom("keys", "list", "--json").stdout)
    assert f"it is good until `headroom keys revoke {one['id']}` (The store is away.)" in str(refused.exception)


def test_a_team_is_set_listed_and_removed_in_the_store_and_at_a_proxy(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADROOM_ADMIN_KEY", "admin-secret")
    with serving(settings_for(provider, tmp_path / "other", access={"callers": "keys", "admin_key": "admin-secret"})) as url:
        for where in ((), ("--url", url)):
            assert headroom("keys", "team", "set", "data", "--rpm", "5", "--budget", "2.5", *where).stdout == "data  rpm 5  $2.5 daily\n"
            assert headroom("keys", "team", "set", "data", "--tpm", "900", *where).stdout == "data  tpm 900\n"
            assert headroom("keys", "team", "list", *where).stdout == "data  tpm 900\n"
            assert headroom("keys", "team", "remove", "data", *where).stdout == "data is removed\n"
            assert headroom("keys", "team", "list", *where).stdout == ""
            for wrong, says in ((("set", "data", "--rpm", "0"), "rpm"), (("set", "a b"), "team"), (("remove", "data"), "no team data")):
                refused = headroom("keys", "team", *wrong, *where)
                assert (refused.exit_code, says in refused.stderr) == (1, True)
