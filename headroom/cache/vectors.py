"""Nearest vectors by cosine: exact while there are few, an HNSW graph (Malkov and Yashunin, 2016; hnswlib) when there are many.

What must hold, because the graph does not bear it otherwise:
- A search and an insertion never run at once: one lock for both. It is held for one vector at a time.
- Nothing is deleted in place: what is dropped is a tombstone, which a search passes and does not answer. When there are many, the
  graph is built anew beside the old one, and takes its place.
- Capacity counts tombstones too, and doubles when it is reached, under the same lock.
- Where a search finds fewer than asked for, as happens among tombstones, all vectors are compared.

Rows are float32 of length 1, so the inner product is the cosine.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Row = NDArray[np.float32]

M = 16  # links a vector has on each level, twice as many on the lowest
_EF_BUILD = 200  # candidates an insertion looks at
_EF = 128  # candidates a search looks at
_FLAT = 256  # up to here all are compared
_ROOM = 1024
_TOMBSTONES = 0.3  # share from which on building anew pays
LINK_BYTES = 4 * (2 * M + 2) + 4 * M // 8 + 16  # a vector's links, label and place in the lookup


class Vectors:
    """For any number of threads. Labels are whole numbers that the caller gives, each once."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._lock = threading.Lock()
        self._rows: dict[int, Row] = {}  # while there are few
        self._graph: Any = None
        self._live: set[int] = set()  # in the graph

    def __len__(self) -> int:
        return len(self._live) if self._graph is not None else len(self._rows)

    @property
    def is_graph(self) -> bool:
        return self._graph is not None

    @property
    def is_worn(self) -> bool:
        """Whether `rebuild` pays."""
        graph = self._graph
        return graph is not None and graph.element_count - len(self._live) > max(_FLAT, _TOMBSTONES * graph.element_count)

    def add(self, label: int, row: Row) -> None:
        """Linear in the dimensions, logarithmic in the vectors. Raises ValueError for a row of another length or a label that stands."""
        if row.shape != (self.dimensions,):
            raise ValueError(f"a row of shape {row.shape}, not ({self.dimensions},)")
        with self._lock:
            if label in self._rows or label in self._live:
                raise ValueError(f"label {label} stands already")
            if self._graph is None:
                self._rows[label] = row.copy()
                if len(self._rows) > _FLAT:
                    self._graph, self._live = _built(self.dimensions, list(self._rows), list(self._rows.values())), set(self._rows)
                    self._rows = {}
                return
            _insert(self._graph, label, row)
            self._live.add(label)

    def drop(self, label: int) -> None:
        """Never found again; without effect for one that does not stand."""
        with self._lock:
            if self._rows.pop(label, None) is None and label in self._live:
                self._live.remove(label)
                self._graph.mark_deleted(label)

    def search(self, row: Row, count: int) -> list[tuple[int, float]]:
        """The nearest, at most `count`, as labels with their cosines, the nearest first."""
        with self._lock:
            wanted = min(count, len(self))
            if wanted == 0:
                return []
            if self._graph is None:
                return _compared(row, list(self._rows), list(self._rows.values()), wanted)
            try:
                labels, distances = self._graph.knn_query(row, k=wanted, num_threads=1)
            except RuntimeError:  # fewer were reached than wanted
                live = list(self._live)
                return _compared(row, live, self._graph.get_items(live, return_type="numpy"), wanted)
        return [(int(label), 1.0 - float(distance)) for label, distance in zip(labels[0], distances[0], strict=True)]

    def rebuild(self) -> None:
        """A graph without tombstones. Takes long where there are many, others go on meanwhile. For one thread at a time."""
        with self._lock:
            if self._graph is None:
                return
            live = sorted(self._live)
            rows = self._graph.get_items(live, return_type="numpy") if live else []
        graph = _built(self.dimensions, live, rows)
        with self._lock:
            old = set(live)
            for label in sorted(self._live - old):  # came meanwhile
                _insert(graph, label, self._graph.get_items([label], return_type="numpy")[0])
            for label in old - self._live:
                graph.mark_deleted(label)
            self._graph = graph

    def dump(self) -> tuple[Mapping[str, Any], Sequence[int]]:
        """What `load` takes: arrays and plain values of one moment, and the labels that are found."""
        import numpy as np

        with self._lock:
            if self._graph is None:
                rows = np.stack(list(self._rows.values())) if self._rows else np.empty((0, self.dimensions), np.float32)
                return {"rows": rows}, list(self._rows)
            return self._graph.__getstate__()[0], sorted(self._live)

    @classmethod
    def load(cls, dimensions: int, state: Mapping[str, Any], labels: Sequence[int]) -> Vectors:
        """The inverse of `dump`. The state must be what it was: the graph checks nothing of it."""
        import hnswlib

        made = cls(dimensions)
        if "rows" in state:
            made._rows = {label: row.copy() for label, row in zip(labels, state["rows"], strict=True)}
        else:
            made._graph = hnswlib.Index.__new__(hnswlib.Index)
            made._graph.__setstate__((dict(state),))
            made._graph.set_ef(_EF)
            made._live = set(labels)
        return made


def _built(dimensions: int, labels: Sequence[int], rows: Any) -> Any:
    import hnswlib
    import numpy as np

    graph = hnswlib.Index(space="ip", dim=dimensions)
    graph.init_index(max_elements=max(_ROOM, 2 * len(labels)), M=M, ef_construction=_EF_BUILD)
    graph.set_ef(_EF)
    if len(labels):
        graph.add_items(np.asarray(rows, np.float32), np.asarray(labels, np.uint64), num_threads=1)
    return graph


def _insert(graph: Any, label: int, row: Row) -> None:
    if graph.element_count >= graph.max_elements:
        graph.resize_index(2 * graph.max_elements)
    graph.add_items(row, label, num_threads=1)


def _compared(row: Row, labels: Sequence[int], rows: Any, count: int) -> list[tuple[int, float]]:
    import numpy as np

    cosines = np.asarray(rows, np.float32) @ row
    nearest = np.argsort(-cosines)[:count]
    return [(labels[place], float(cosines[place])) for place in nearest]
