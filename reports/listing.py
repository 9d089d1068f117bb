"""Everything that was measured: all rows to search, and the cells that failed."""

from __future__ import annotations

import re

import pandas as pd
from itables import options, to_html_datatable
from itables.javascript import generate_init_offline_itables_html

from .load import PROBLEM, TIMING


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the failed cells, one a line, with the reason."""
    columns = ["experiment", "label", "params", *PROBLEM, "seed", "samples", "replicates", "series", "dtype", "reason"]
    return rows.loc[rows["status"] == "failed", columns].reset_index(drop=True)


def constants(rows: pd.DataFrame) -> dict[str, str]:
    """Returns the columns that are the same in every row, with their value: said once, above the table."""
    names = ["target", *PROBLEM, "replicates", "device", "dtype", "status", "reason", *TIMING]
    names = [name for name in names if name in rows]
    return {name: str(rows[name].iloc[0]) for name in names if rows[name].nunique(dropna=False) == 1}


def browser(rows: pd.DataFrame, name: str = "rows") -> str:
    """Returns rows as a searchable, sortable table that needs JavaScript but no network; `name` tells two apart."""
    hidden = ["label", "series", "plug_in", "cell", "run", *constants(rows)]
    table = rows.assign(
        value=rows["value"].map(_rounded),
        std_error=rows["std_error"].map(_rounded),
        params=rows["params"].replace("{}", ""),
    )
    if "exact" in rows:
        table["exact"] = rows["exact"].map({True: "exact", False: "sampled"})
    table = table.drop(columns=hidden, errors="ignore")
    # Categories are written once and numbered in the rows: a third of the bytes.
    words = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
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
        layout={
            "topStart": "buttons",
            "topEnd": "search",
            "bottomStart": "info",
            "bottomEnd": "paging",
        },
        buttons=["copyHtml5", {"extend": "csvHtml5", "filename": f"subsetgrad-{name}"}, "colvis"],
        display_logo_when_loading=False,
        text_in_header_can_be_selected=False,
        format_floats_in_python=False,
        warn_on_unexpected_types=False,
    )
    return _without_links(text)


def table_code() -> str:
    """Returns the code that every `browser` on a page needs, once."""
    return _without_links(generate_init_offline_itables_html(options.dt_bundle))


def _without_links(text: str) -> str:
    """Returns the library's text without the links to its web site."""
    return re.sub(
        r"<noscript>.*?</noscript>|<sup><a href=https?:[^>]*>.*?</a></sup>|<a href=https?:[^>]*>|</a>",
        "",
        text,
        flags=re.DOTALL,
    )


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
