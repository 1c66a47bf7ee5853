"""One column of a table from values of Python, straight into Arrow's memory.

`pa.array` would do, but it asks pandas whether the values are its own and imports it to ask: 0.2 s before
the first request of a run, and some 50 MB in each process that writes a table.
"""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

_CODES = {pa.int32(): "i", pa.int64(): "q", pa.float64(): "d"}  # of the array module


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Returns the values as Arrow's; None becomes null.

    Raises:
        OverflowError: a number is too large for its kind.
        TypeError: a value is of another kind.
        UnicodeEncodeError: a text holds half a surrogate pair.
    """
    known = [value is not None for value in values]
    validity = None if all(known) else pa.py_buffer(np.packbits(known, bitorder="little"))
    buffers = _texts(values) if kind == pa.string() else [_numbers(values, _CODES[kind])]
    return pa.Array.from_buffers(kind, len(values), [validity, *buffers])


def _numbers(values: Sequence[Any], code: str) -> pa.Buffer:
    return pa.py_buffer(array(code, [0 if value is None else value for value in values]))


def _texts(values: Sequence[str | None]) -> list[pa.Buffer]:
    """Where each text begins, and all of them one after the other."""
    texts = [b"" if value is None else value.encode() for value in values]
    begins = array("i", accumulate(map(len, texts), initial=0))
    return [pa.py_buffer(begins), pa.py_buffer(b"".join(texts))]
