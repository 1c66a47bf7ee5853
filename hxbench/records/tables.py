"""Reading and writing one table of the records as Parquet, whole or not at all."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from hxbench.errors import EvidenceError
from hxbench.records.columns import column

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

BATCH_ROWS = 20_000


class _Writer(pq.ParquetWriter):  # type: ignore[misc]  # it has no types
    """Arrow's writer, but one that nobody closes writes nothing more: on a full disk that fails loudly."""

    def __del__(self) -> None:
        pass


class TableWriter:
    """Writes rows in batches beside `path` and gives the file its name only once it is whole.

    The partial file belongs to this process: one left over from another is never taken for it.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        self._rows: list[Sequence[Any]] = []
        self._writer = _Writer(self._partial, schema, compression="zstd")

    def add(self, row: Sequence[Any]) -> None:
        """Takes one row, in the order of the schema's columns."""
        self.add_all([row])

    def add_all(self, rows: Sequence[Sequence[Any]]) -> None:
        """Takes rows that belong together."""
        self._rows += rows
        if len(self._rows) >= BATCH_ROWS:
            self._write()

    def _write(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [column(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()

    def close(self) -> None:
        """Writes what is left, makes it durable, and puts it in place."""
        self._write()
        self._writer.close()
        sync(self._partial)
        self._partial.replace(self._path)
        sync(self._path.parent)


def write(path: Path, schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> None:
    """Writes a whole table at once; `path` is replaced atomically."""
    writer = TableWriter(path, schema)
    for row in rows:
        writer.add(row)
    writer.close()


def read(path: Path, schema: pa.Schema) -> "pd.DataFrame":
    """Returns the table with nullable columns; one that is younger than the file is null.

    Raises:
        EvidenceError: the file is missing, damaged, of a newer schema, or lacks a column of its own.
    """
    with _opened(path, schema) as file:
        table = file.read()
    for field in schema:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return _frame(table)


def _frame(table: pa.Table) -> "pd.DataFrame":
    import pandas as pd  # whoever only writes, before or beside a load, has no use for it

    nullable = {
        pa.int64(): pd.Int64Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.float64(): pd.Float64Dtype(),
        pa.string(): pd.StringDtype(),
    }
    frame: pd.DataFrame = table.to_pandas(types_mapper=nullable.get)
    return frame


def read_lean(path: Path, schema: pa.Schema, names: Sequence[str]) -> "pd.DataFrame":
    """Returns some columns of a large table in little memory; they are taken one after the other.

    Text is categorical. Whole numbers have the narrowest type that holds them; where any is null, float32,
    exact up to 2^24.
    Raises:
        EvidenceError: as `read`.
    """
    import pandas as pd

    text = [name for name in names if schema.field(name).type == pa.string()]
    with _opened(path, schema, categorical=text) as file:
        columns = {}
        for name in names:
            columns[name] = _lean(_column(file, schema.field(name)))
            pa.default_memory_pool().release_unused()
    return pd.DataFrame(columns, copy=False)


def _column(file: pq.ParquetFile, field: pa.Field) -> pa.ChunkedArray:
    if field.name in file.schema_arrow.names:
        return file.read([field.name]).column(0)
    kind = pa.dictionary(pa.int32(), field.type) if field.type == pa.string() else field.type
    return pa.chunked_array([pa.nulls(file.metadata.num_rows, kind)])


def _lean(column: pa.ChunkedArray) -> Any:
    import numpy as np
    import pandas as pd

    if pa.types.is_dictionary(column.type):
        chunks = column.unify_dictionaries()
        ids = chunks.chunk(0).dictionary if chunks.num_chunks else pa.array([], pa.string())
        codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in chunks.chunks]
        return pd.Categorical.from_codes(np.concatenate([np.empty(0, np.int32), *codes]), ids.to_pandas())
    if column.null_count:
        return column.cast(pa.float32(), safe=False).to_numpy()
    return _narrowed(column.to_numpy())


def _narrowed(numbers: "NDArray[np.int64]") -> "NDArray[Any]":
    """Returns whole numbers in the narrowest type with a sign that holds them all."""
    import numpy as np

    low, high = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
    types = (np.int8, np.int16, np.int32)
    holding = (each for each in types if np.iinfo(each).min <= low and high <= np.iinfo(each).max)
    return numbers.astype(next(holding, np.int64), copy=False)


@contextmanager
def _opened(path: Path, schema: pa.Schema, categorical: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Gives a file that has the columns of the schema; Arrow's errors while it is read name it."""
    try:
        found = pq.read_metadata(path).schema.to_arrow_schema()
        _require_columns(path, found, schema)
        there = [name for name in categorical if name in found.names]  # one more, and Arrow raises KeyError
        with pq.ParquetFile(path, read_dictionary=there) as file:
            yield file
    except FileNotFoundError:
        raise EvidenceError(f"{path}: missing: the records are not whole") from None
    except (OSError, pa.ArrowException) as error:
        raise EvidenceError(f"{path}: not readable as Parquet: {str(error).splitlines()[0]}") from None


def _require_columns(path: Path, found: pa.Schema, schema: pa.Schema) -> None:
    version, newest = _version(found), _version(schema)
    if not version.isdecimal() or int(version) > int(newest):
        raise EvidenceError(f"{path}: schema {version}: this hxbench reads schemas up to {newest}")
    for field in schema:
        index = found.get_field_index(field.name)
        if index < 0 and int(version) < int((field.metadata or {}).get(b"since", b"1")):
            continue
        if index < 0 or found.field(index).type != field.type:
            raise EvidenceError(f"{path}: column {field.name}: expected {field.type}")


def _version(schema: pa.Schema) -> str:
    version: bytes = (schema.metadata or {}).get(b"hxbench.schema", b"1")
    return version.decode(errors="replace")


def sync(path: Path) -> None:
    """Makes a file or a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
