"""Everything that was measured: all rows to search, and the cells that failed."""

from __future__ import annotations

import re

import pandas as pd
from itables import options, to_html_datatable
from itables.javascript import generate_init_offline_itables_html

from .load import PROBLEM


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the failed cells, one a line, with the reason."""
    columns = ["experiment", "label", "params", *PROBLEM, "seed", "samples", "replicates", "series", "dtype", "reason"]
    return rows.loc[rows["status"] == "failed", columns].reset_index(drop=True)


def constants(rows: pd.DataFrame) -> dict[str, str]:
    """Returns the columns that are the same in every row, with their value: said once, above the table."""
    names = ["target", *PROBLEM, "replicates", "device", "dtype", "status", "reason"]
    return {name: str(rows[name].iloc[0]) for name in names if rows[name].nunique(dropna=False) == 1}


def browser(rows: pd.DataFrame) -> str:
    """Returns all rows as a searchable, sortable table that needs JavaScript but no network."""
    hidden = ["label", "series", "plug_in", "cell", "run", *constants(rows)]
    table = rows.drop(columns=hidden, errors="ignore").assign(
        value=rows["value"].map(_rounded),
        std_error=rows["std_error"].map(_rounded),
        exact=rows["exact"].map({True: "exact", False: "sampled"}),
        params=rows["params"].replace("{}", ""),
    )
    # Categories are written once and numbered in the rows: a third of the bytes.
    words = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    table = table.astype(dict.fromkeys(words, "category"))
    text = to_html_datatable(
        table,
        connected=False,
        table_id="all-rows",
        maxBytes=0,
        maxColumns=0,
        showIndex=False,
        classes="display compact nowrap",
        style="width:100%",
        column_filters="footer",
        pageLength=15,
        layout={
            "topStart": "buttons",
            "topEnd": "search",
            "bottomStart": "info",
            "bottomEnd": "paging",
        },
        buttons=["copyHtml5", {"extend": "csvHtml5", "filename": "subsetgrad-rows"}, "colvis"],
        display_logo_when_loading=False,
        text_in_header_can_be_selected=False,
        format_floats_in_python=False,
        warn_on_unexpected_types=False,
    )
    # The library's own code, once; then the table, without the links to its web site.
    text = generate_init_offline_itables_html(options.dt_bundle) + text
    return re.sub(
        r"<noscript>.*?</noscript>|<sup><a href=https?:[^>]*>.*?</a></sup>|<a href=https?:[^>]*>|</a>",
        "",
        text,
        flags=re.DOTALL,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
