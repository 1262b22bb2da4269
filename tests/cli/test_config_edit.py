"""One entry of a configuration file: written, taken out again, and nothing else of the file moved."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.cli.config_edit import Json, Toml, read, replace

PATH = ("servers", "headroom")
ENTRY = {"command": "/bin/headroom", "args": ["mcp"], "env": {"A": "b"}}
JSON = Json()
TOML = Toml()

names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | names, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
objects = st.dictionaries(names.filter(lambda name: name != "servers"), values, max_size=4)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{ }\n",
        '{"a": 1}',
        '{\n\t"a": 1,\n\t"servers": {\n\t\t"other": {"command": "x"}\n\t}\n}\n',
        '{\n  "servers": {},\n  "z": ["}", "\\"", ","]\n}',
        '{"servers": {"other": 1}, "b": "a,b"}',
        '{\r\n    "a": {"deep": {"er": [1, 2, {"x": ","}]}}\r\n}\r\n',
    ],
)
def test_json_put_and_drop(text: str) -> None:
    put = JSON.put(text, PATH, ENTRY)
    was = json.loads(text)
    assert json.loads(put) == {**was, "servers": {**was.get("servers", {}), "headroom": ENTRY}}
    assert JSON.get(put, PATH) == ENTRY
    dropped = JSON.drop(put, PATH)
    if was.get("servers") != {}:
        assert json.loads(dropped) == was


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_file_is_an_empty_object(text: str) -> None:
    put = JSON.put(text, PATH, ENTRY)
    assert json.loads(put) == {"servers": {"headroom": ENTRY}}
    assert put.startswith('{\n  "servers": {\n    "headroom": {\n      "command"')
    assert json.loads(JSON.drop(put, PATH)) == {}
    assert tomllib.loads(TOML.put(text, PATH, ENTRY)) == {"servers": {"headroom": ENTRY}}


@given(objects, objects, st.sampled_from([None, 1, 2, 4, "\t"]))
def test_any_json_is_what_it_was(outer: dict[str, object], inner: dict[str, object], indent: int | str | None) -> None:
    inner.pop("headroom", None)
    was = {**outer, "servers": inner} if inner else outer
    text = json.dumps(was, indent=indent)
    put = JSON.put(text, PATH, ENTRY)
    assert json.loads(put) == {**was, "servers": {**inner, "headroom": ENTRY}}
    assert JSON.drop(put, PATH) == (text if was else "{}")
    again = JSON.put(put, PATH, {"command": "other"})
    assert JSON.get(again, PATH) == {"command": "other"}
    assert JSON.put(again, PATH, ENTRY) == put


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("// mine\n{}", "not valid JSON: Expecting value at line 1"),
        ('{"a": 1,}', "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"servers": []}', "servers is not an object"),
        ('{"servers": null}', "servers is null"),
        ('{"servers": {"headroom": 3}}', "headroom is not an object"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        JSON.put(text, PATH, ENTRY)


def test_toml_keeps_comments_and_order() -> None:
    text = '# mine\nmodel = "x"  # fast\n\n[servers.other]\ncommand = "y"\n\n# the end\n[zed]\na = 1\n'
    put = TOML.put(text, PATH, ENTRY)
    assert tomllib.loads(put) == {**tomllib.loads(text), "servers": {"other": {"command": "y"}, "headroom": ENTRY}}
    for line in text.splitlines():
        assert line in put
    assert tomllib.loads(TOML.drop(put, PATH)) == tomllib.loads(text)
    assert TOML.get(put, PATH) == ENTRY
    with pytest.raises(ValueError, match="not valid TOML"):
        TOML.put("a = ", PATH, ENTRY)
    with pytest.raises(ValueError, match="servers is not a table"):
        TOML.put("servers = 3", PATH, ENTRY)


@pytest.mark.parametrize(
    "text",
    [
        'model = "x"',
        "[servers]\n",
        'servers = { other = { command = "y" } }\n',
        'servers.other.command = "y"\n',
        'servers.other.command = "y"\nmodel = "x"\npolicy = "never"\n',
        'servers.other.command = "y"\nmodel = "x"\n\n[projects."/home/x"]\ntrust = "yes"\n',
        'servers.other.command = "y"\r\nnumber = nan\r\n\r\n[projects]\r\na = 2026-01-01\r\n',
        '[servers]\nother.command = "y"\nlast = 3\n[zed]\na = 1\n',
        '[servers.other]\ncommand = "y"\n[zed]\na = 1\n[servers.third]\ncommand = "z"\n[last]\nb = 2\n',
        "[[servers.list]]\na = 1\n",
    ],
)
def test_toml_in_every_layout(text: str) -> None:
    put = TOML.put(text, PATH, ENTRY)
    was = tomllib.loads(text, parse_float=str)
    assert tomllib.loads(put, parse_float=str) == {**was, "servers": {**was.get("servers", {}), "headroom": ENTRY}}
    assert ("\r\n" in put) == ("\r\n" in text)
    assert TOML.get(put, PATH) == ENTRY
    assert tomllib.loads(TOML.drop(put, PATH), parse_float=str) == ({} if was == {"servers": {}} else was)
    assert TOML.drop(text, PATH) == text
    again = TOML.put(put, PATH, {"command": "other"})
    assert tomllib.loads(TOML.put(again, PATH, ENTRY), parse_float=str) == tomllib.loads(put, parse_float=str)


def test_toml_under_dotted_keys_leaves_the_lines_below_where_they_are() -> None:
    text = 'servers.other.command = "y"  # mine\nservers.headroom.command = "old"\nmodel = "x"\n\n[zed]\na = 1\n'
    put = TOML.put(text, PATH, ENTRY)
    assert put.startswith('servers.other.command = "y"  # mine\nmodel = "x"\n\n[zed]\na = 1\n\n[servers.headroom]\n')
    assert tomllib.loads(put)["servers"]["headroom"] == ENTRY
    assert tomllib.loads(put)["model"] == "x"


@pytest.mark.parametrize(("editor", "text"), [(TOML, "[servers.other]\na = 1\n"), (JSON, '{"servers": {"other": {"a": 1}}}')])
def test_a_text_that_would_say_anything_else_is_refused(editor: Json | Toml, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put = editor.put(text, PATH, ENTRY)
    monkeypatch.setattr("tomlkit.dumps", lambda tree: "model = 3\n")
    monkeypatch.setattr("headroom.cli.config_edit._spliced", lambda *_: '{"model": 3}')
    for change in (lambda: editor.put(text, PATH, ENTRY), lambda: editor.drop(put, PATH)):
        with pytest.raises(ValueError, match="cannot be changed alone"):
            change()


def test_replace_is_whole_and_keeps_mode_and_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles" / "a.json", tmp_path / "a.json"
    replace(real, "{}")
    assert real.stat().st_mode & 0o777 == 0o600
    real.chmod(0o644)
    link.symlink_to(real)
    replace(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o644
    assert [file.name for file in real.parent.iterdir()] == ["a.json"]
    assert read(tmp_path / "missing") is None
    real.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="UTF-8"):
        read(real)
