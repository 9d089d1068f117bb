"""A board is one problem of an experiment, with the values that figures, tables and sentences show.

`boards` selects and averages the rows of a store once; every part of the page takes its values from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmarks.results.names import CONDITIONAL_POISSON

from ..data import METHOD, PROBLEM, About, Results, series_of

TARGET = CONDITIONAL_POISSON  # the paper's figures and the leaderboard use the gradient under this law


@dataclass(frozen=True, eq=False)
class Board:
    """One problem of an experiment.

    Attributes:
      about: the text of the experiment.
      slug: the problem in the names of files.
      name: the parts of the problem that differ between the experiment's problems, in words; empty if it has one.
      objective, n, k: of the problem.
      seeds: number of seeds.
      rows: all rows, those of failed cells included.
      selected: the rows to show: of `select`, for all targets.
      table: their means: of `summarise`.
      series: backends, the one with most methods first.
    """

    about: About
    slug: str
    name: str
    objective: str
    n: int
    k: int
    seeds: int
    rows: pd.DataFrame
    selected: pd.DataFrame
    table: pd.DataFrame
    series: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Returns the problem in words."""
        return f"{self.objective}, n = {self.n}, k = {self.k}"

    @property
    def main(self) -> str:
        """Returns the series that single values are taken from; empty if every cell failed."""
        return next(iter(self.series), "")

    @property
    def replicates(self) -> list[str]:
        """Returns the numbers of replicates behind the sampled values."""
        return [f"{count:,}" for count in sorted(self.selected["replicates"].unique())]

    @property
    def references(self) -> set[str]:
        """Returns the estimators that are the exact gradient itself: they are shown and not ranked."""
        return {name for entry in self.about.entries("reference") for name in entry["estimators"]}


def boards(results: Results) -> list[Board]:
    """Returns a board for each problem of each experiment, in the order of the experiments' names."""
    selected = select(results.rows)
    table = summarise(selected)
    selected_parts, table_parts = (dict(iter(part.groupby(["experiment", *PROBLEM]))) for part in (selected, table))
    made = []
    for experiment, rows in results.rows.groupby("experiment", sort=True):
        differing = [name for name in PROBLEM if rows[name].nunique() > 1]
        for index, (problem, part) in enumerate(rows.groupby(PROBLEM, sort=True)):
            values: dict[str, Any] = dict(zip(PROBLEM, problem, strict=True))
            made.append(
                Board(
                    about=results.experiments[str(experiment)],
                    slug=f"{experiment}-{index}" if index else str(experiment),
                    name=", ".join(f"{name} {values[name]}" for name in differing),
                    objective=values["objective"],
                    n=int(values["n"]),
                    k=int(values["k"]),
                    seeds=part["seed"].nunique(),
                    rows=part,
                    selected=selected_parts.get((experiment, *problem), selected[:0]),
                    table=table_parts.get((experiment, *problem), table[:0]),
                    series=tuple(series_of(part)),
                )
            )
    return made


def select(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the ok rows with one budget for each method, problem and series: most seeds, then most replicates.

    A store may hold the cells of a quick and of a thorough preset; their average would be a value of neither.
    """
    ok = rows[(rows["status"] == "ok") & (rows["metric"] != "")]
    group = ["experiment", *PROBLEM, *METHOD, "series"]
    budgets = ok.groupby([*group, "replicates"], dropna=False)["seed"].nunique().rename("seeds").reset_index()
    best = budgets.sort_values(["seeds", "replicates"]).drop_duplicates(group, keep="last")
    return ok.merge(best[[*group, "replicates"]], on=[*group, "replicates"], how="inner")


def summarise(selected: pd.DataFrame) -> pd.DataFrame:
    """Returns the mean over seeds for each problem, method, series and metric, with its uncertainties, for `TARGET`.

    Columns in addition to the keys: `value` (the mean), `spread` (standard deviation over seeds, ddof 1: how much
    problems differ), `std_error` (of the mean, from the errors of the cells: what sampling leaves open), `exact`,
    `seeds`, `defined` (the number of seeds at which the metric is defined; the mean is over these).
    """
    rows = selected[selected["target"] == TARGET]
    defined = rows["value"].notna()
    rows = rows.assign(
        square=rows["std_error"].where(defined) ** 2,
        unknown=defined & rows["std_error"].isna(),
    )
    keys = ["experiment", *PROBLEM, *METHOD, "label", "law", "plug_in", "series", "replicates", "metric"]
    table = rows.groupby(keys, dropna=False, sort=True).agg(
        value=("value", "mean"),
        spread=("value", "std"),
        square=("square", "sum"),
        unknown=("unknown", "any"),
        exact=("exact", "all"),
        seeds=("value", "size"),
        defined=("value", "count"),
    )
    error = table["square"] ** 0.5 / table["defined"]
    table["std_error"] = error.mask(table["unknown"] | (table["defined"] == 0))
    return table.drop(columns=["square", "unknown"]).reset_index()
