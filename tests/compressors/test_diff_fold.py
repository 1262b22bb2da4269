"""The lossless form of diffs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.compressors import diff_fold

HASH = "0123456789abcdef"

_CHANGED = ["diff --git a/src/a b.py b/src/a b.py", "index 1f0c2a..2e9ab0 100644", "--- a/src/a b.py", "+++ b/src/a b.py"]
_NEW = ["diff --git a/x b/x", "new file mode 100755", "index 0000..2e9a", "--- /dev/null", "+++ b/x"]
_DELETED = ["diff --git a/x b/x", "deleted file mode 100644", "index 2e9a..0000", "--- a/x", "+++ /dev/null"]
_RENAMED = ["diff --git a/x b/y", "similarity index 98%", "rename from x", "rename to y", "index 1f0c..2e9a 100644", "--- a/x", "+++ b/y"]
_LINE = st.one_of(
    st.sampled_from([*_CHANGED, *_NEW, *_DELETED, *_RENAMED]),
    st.sampled_from(
        ["", "\\ No newline at end of file", "diff 1f0c..2e9a 100644 x", "[lines 1-4 again]", "\\", "+x", " " + "y" * 120, "\r"]
    ),
    st.text(max_size=9).map(lambda text: text.replace("\n", "")),
)
_PIECE = st.one_of(st.sampled_from([_CHANGED, _NEW, _DELETED, _RENAMED, _CHANGED[:3], _NEW[:2]]), st.lists(_LINE, max_size=3))


@given(st.lists(_PIECE, max_size=20).map(lambda pieces: [line for piece in pieces for line in piece] or [""]))
def test_everything_reads_back(lines: list[str]) -> None:
    assert diff_fold.decode(diff_fold.encode(lines, HASH)) == "\n".join(lines)


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (_CHANGED, "diff 1f0c2a..2e9ab0 100644 src/a b.py"),
        (_NEW, "diff 0000..2e9a new 100755 x"),
        (_DELETED, "diff 2e9a..0000 deleted 100644 x"),
    ],
)
def test_the_head_of_a_file_becomes_one_line(head: list[str], line: str) -> None:
    folded = diff_fold.encode([*head, "@@ -1 +1 @@", "-a", "+b"], HASH)
    assert folded.split("\n")[1:] == [line, "@@ -1 +1 @@", "-a", "+b"]


def test_a_head_whose_paths_differ_stays() -> None:
    assert diff_fold.encode(_RENAMED, HASH).split("\n")[1:] == _RENAMED


def test_a_block_that_stands_twice_is_referred_to() -> None:
    block = [f"+    {name} = tariff.price_of(customer, default={name}, rounded=True)" for name in ("one", "two", "three", "four")]
    folded = diff_fold.encode(["@@ -1 +1 @@", *block, "@@ -9 +9 @@", *block], HASH)
    assert folded.endswith("\n@@ -9 +9 @@\n[lines 2-5 again]")
    assert HASH in folded.split("\n")[0]
