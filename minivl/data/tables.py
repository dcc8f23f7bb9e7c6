"""Rows of a table of results by their name, as texts and the ledger refer to them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def named_rows(table: "pd.DataFrame", name: str) -> "pd.DataFrame":
    """The rows that have `name` in the column "cell", or in the first one if there is no such column.

    "NAME where step is 100" are those of them with 100 in the column "step". Raises KeyError if there are none.
    """
    column = "cell" if "cell" in table else table.columns[0]
    name, _, condition = name.partition(" where ")
    rows = table[table[column] == name]
    if rows.empty:
        raise KeyError(f"no {name!r} in the column {column!r}")
    if condition:
        column, _, value = condition.partition(" is ")
        rows = rows[rows[column].astype(str) == value]
        if rows.empty:
            raise KeyError(f"{name!r} has no {value!r} in the column {column!r}")
    return rows
