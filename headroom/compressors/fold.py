"""The last step of a lossless result, whatever the kind: repeated blocks and phrases are written once.

Source code stays as it is, for who asked to read it wants to edit it and needs its lines verbatim;
so does running text, which repeats next to nothing.
"""

from __future__ import annotations

from headroom.compressors import fold_phrases, fold_repeats
from headroom.compressors.base import Draft

LABEL = "fold"  # of a text whose own compressor has no lossless form
_VERBATIM = frozenset(("code", "prose"))
_GAIN = 0.95  # the longest result that is worth it, as a share of what it replaces


def shorten(label: str, text: str, draft: Draft | None, hash: str) -> tuple[str, Draft | None]:
    """The label and the draft of the smaller text; `draft` is what the compressor with this label made of it."""
    if label in _VERBATIM:
        return label, draft
    if draft is None:
        return LABEL, _folded(text, fold_repeats.encode(text, hash), text.count("\n") + 1)
    if fold_phrases.named(draft.text):
        return label, None
    return label, _folded(draft.text, draft.text, draft.items) or draft


def _folded(before: str, text: str, items: int) -> Draft | None:
    folded = fold_phrases.encode(text)
    if folded is None or fold_phrases.decode(folded) != text:
        folded = None if fold_phrases.named(text) else text
    return Draft(folded, items, items) if folded is not None and len(folded) < _GAIN * len(before) else None
