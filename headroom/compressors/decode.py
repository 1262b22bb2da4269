"""The way back from every lossless text, by the label of what made it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from headroom.compressors import (
    diff_fold,
    fold,
    fold_phrases,
    fold_repeats,
    json_rows,
    log_fold,
    numbered,
    search_groups,
    table_padding,
    text_rows,
)


def _text(text: str) -> str:
    return text_rows.decode(text) if text.startswith("[a literal of ") else log_fold.decode(text)


DECODERS: Final[Mapping[str, Callable[[str], str]]] = {
    "diff": diff_fold.decode,
    fold.LABEL: fold_repeats.decode,
    "log": log_fold.decode,
    numbered.LABEL: numbered.decode,
    "search": search_groups.decode,
    "smart_crusher": json_rows.decode,
    "table": table_padding.decode,
    "text": _text,
}


def decode(label: str, text: str) -> str:
    """The original of a lossless result, JSON compact.

    Raises KeyError for a label without a lossless form, ValueError for a text that is not such a result.
    """
    return DECODERS[label](fold_phrases.decode(text))


def original(label: str, text: str) -> str:
    """What `decode` gives for the result of this text: the text itself, JSON compact."""
    return json_rows.plain(text) or text if label == "smart_crusher" else text
