"""A searchable table of rows, drawn by itables without a network."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pandas as pd
from itables import options, to_html_datatable
from itables.javascript import generate_init_offline_itables_html

from ..data import COST_COLUMNS, PROBLEM
from .numbers import rounded
from .text_tables import data_link

_DERIVED = ["label", "series", "plug_in"]
_OFTEN_CONSTANT = ["target", *PROBLEM, "replicates", "device", "dtype", "exact", "status", "reason", "kind"]


def listed(rows: pd.DataFrame, name: str) -> dict[str, Any]:
    """Returns rows for the page: a table to search without its constant columns, and all columns to download.

    Args:
      rows: of quality or of cost.
      name: of the table and its files; two tables of a page have different ones.
    """
    shown = rows.assign(exact=rows["exact"].map({True: "exact", False: "sampled"}))
    columns = [column for column in (*_OFTEN_CONSTANT, *COST_COLUMNS) if column in rows]
    constants = {column: str(shown[column].iloc[0]) for column in columns if rows[column].nunique(dropna=False) == 1}
    return {
        "count": len(rows),
        "constants": constants,
        "browser": _browser(shown.drop(columns=[*_DERIVED, "cell", "run", *constants]), name),
        "file": compressed(rows.drop(columns=_DERIVED)),
    }


def compressed(table: pd.DataFrame) -> str:
    """Returns a link to the table as a gzipped CSV file."""
    text = str(table.to_csv(index=False, lineterminator="\n"))
    return data_link("application/gzip", gzip.compress(text.encode(), mtime=0))


def _browser(rows: pd.DataFrame, name: str) -> str:
    """Returns rows as a searchable, sortable table, which needs JavaScript and `table_code`."""
    table = rows.assign(
        value=rows["value"].map(lambda value: float(rounded(value, 6))),
        std_error=rows["std_error"].map(lambda value: float(rounded(value, 6))),
        params=rows["params"].replace("{}", ""),
    )
    # Categories are written once and numbered in the rows, which saves two thirds of the bytes.
    words = [column for column in table.columns if not pd.api.types.is_numeric_dtype(table[column])]
    table = table.astype(dict.fromkeys(words, "category"))
    text = to_html_datatable(
        table,
        connected=False,
        table_id=f"all-{name}",
        maxBytes=0,
        maxColumns=0,
        showIndex=False,
        classes="display compact nowrap",
        style="width:100%",
        column_filters="footer",
        pageLength=15,
        layout={"topStart": "buttons", "topEnd": "search", "bottomStart": "info", "bottomEnd": "paging"},
        buttons=["copyHtml5", {"extend": "csvHtml5", "filename": f"subsetgrad-{name}"}, "colvis"],
        display_logo_when_loading=False,
        text_in_header_can_be_selected=False,
        format_floats_in_python=False,
        warn_on_unexpected_types=False,
    )
    return _without_links(text)


def table_code() -> str:
    """Returns the code that every table of a page shares."""
    return _without_links(generate_init_offline_itables_html(options.dt_bundle))


def _without_links(text: str) -> str:
    """Returns the library's text without the links to its web site."""
    return re.sub(
        r"<noscript>.*?</noscript>|<sup><a href=https?:[^>]*>.*?</a></sup>|<a href=https?:[^>]*>|</a>",
        "",
        text,
        flags=re.DOTALL,
    )
