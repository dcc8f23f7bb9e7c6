"""The nearest of very many embeddings, with faiss: an inverted file that is kept on disk and read where it is needed.

Up to EXACT windows, all cosines are computed: that is exact, and for 100,000 windows of 512 numbers it takes a seventh
of a second on one busy core, less than loading the model. Above, embeddings are sorted into lists around sqrt-many
centres, and a query reads the nearest lists only; the cosines that it finds are exact, but one in a far list can be
missed.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from minivl.data.atomic import replacing

EXACT = 100_000  # windows; reading and multiplying more of them becomes slower than the rest of a search
LISTS_READ = 32
GROWTH = 4  # lists are made anew when there are so many times more embeddings than they were made for


def nearest_windows(
    query: np.ndarray, place: Path, keys: np.ndarray, read_rows: Callable[[], np.ndarray], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Keys and cosines of the `count` nearest of the embeddings with these `keys`, best first.

    query: (D,), of length 1. read_rows: gives the embeddings (n, D) of all keys, and is called only if the lists in
    `place` lack some. Raises ImportError without faiss (the extra "index").
    """
    import faiss

    file = place / "neighbours.faiss"
    lists = faiss.read_index(str(file), faiss.IO_FLAG_MMAP) if file.exists() else None  # reads what a query needs
    known = _keys(faiss, lists) if lists is not None else np.empty(0, np.int64)
    if lists is None or len(keys) > GROWTH * max(len(known), 1) or not np.array_equal(np.sort(known), keys):
        lists = _updated(faiss, lists and faiss.read_index(str(file)), known, keys, read_rows())
        with replacing(file) as unfinished:
            faiss.write_index(lists, str(unfinished))
    lists.nprobe = LISTS_READ
    cosines, found = lists.search(query[None].astype(np.float32), count)  # (1, count) each
    return found[0][found[0] >= 0], cosines[0][found[0] >= 0]


def _updated(faiss, lists, known, keys, rows):
    """Lists that hold `rows` (n, D) under `keys` and nothing else."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centres = max(1, int(np.sqrt(len(keys))))
    if lists is None or len(keys) > GROWTH * len(known):
        lists = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], centres, faiss.METRIC_INNER_PRODUCT)
        lists.train(rows)
        known = np.empty(0, np.int64)
    lists.remove_ids(np.setdiff1d(known, keys))
    new = ~np.isin(keys, known)
    lists.add_with_ids(rows[new], keys[new])
    return lists


def _keys(faiss, lists) -> np.ndarray:
    """All keys in the lists."""
    inverted = lists.invlists
    return np.concatenate(
        [
            faiss.rev_swig_ptr(inverted.get_ids(number), inverted.list_size(number)).copy()
            for number in range(lists.nlist)
            if inverted.list_size(number)
        ]
        or [np.empty(0, np.int64)]
    )
