"""Kinds of Arrow types, as far as tables of images have to tell them apart."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

types = pa.types


def storage(kind: pa.DataType) -> pa.DataType:
    """The type in which values are held: of an extension type its storage, of a dictionary its values."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def _is(kind: pa.DataType, *checks: Callable[[pa.DataType], bool]) -> bool:
    """Whether one of the checks holds for the type in which values are held."""
    kind = storage(kind)
    return any(check(kind) for check in checks)


def is_bytes(kind: pa.DataType) -> bool:
    """Whether cells are byte strings."""
    return _is(kind, types.is_binary, types.is_large_binary, types.is_binary_view, types.is_fixed_size_binary)


def is_text(kind: pa.DataType) -> bool:
    """Whether cells are text."""
    return _is(kind, types.is_string, types.is_large_string, types.is_string_view)


def is_number(kind: pa.DataType) -> bool:
    """Whether cells are integers, floats or decimals."""
    return _is(kind, types.is_integer, types.is_floating, types.is_decimal)


def is_list(kind: pa.DataType) -> bool:
    """Whether cells are lists of any length."""
    return _is(
        kind, types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view, types.is_large_list_view
    )


def is_struct(kind: pa.DataType) -> bool:
    """Whether cells are structs."""
    return _is(kind, types.is_struct)


def element(kind: pa.DataType) -> pa.DataType:
    """The type of the elements of a list."""
    return storage(storage(kind).value_type)


def is_scalar(kind: pa.DataType) -> bool:
    """Whether a cell can name a class: text, a number, a truth value, bytes of text, or always null."""
    return is_text(kind) or is_number(kind) or is_bytes(kind) or _is(kind, types.is_boolean, types.is_null)


def depth(kind: pa.DataType) -> int:
    """How many lists lie around the innermost type: 0 for a scalar."""
    return 1 + depth(element(kind)) if is_list(kind) else 0


def innermost(kind: pa.DataType) -> pa.DataType:
    """The type inside all lists."""
    return innermost(element(kind)) if is_list(kind) else storage(kind)


def plain(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The values as one array of their storage type."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # several chunks stay apart where they do not fit into one
        array = pa.concat_arrays(array.chunks)
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        else:
            return array
