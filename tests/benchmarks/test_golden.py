"""Figures 1 and 3, run as the command line runs them, against every published number.

The numbers and their origin are in `benchmarks.experiments.published`, and the rule of agreement is in
`benchmarks.results.agreement`: exact rows to one unit of the last digit, sampled rows within four standard errors.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.commands import run as run_command
from benchmarks.experiments.base import Choices
from benchmarks.experiments.published import NUMBERS, SEEDS
from benchmarks.results.store import Store
from reports.data import prepare
from reports.quality.board import select
from reports.quality.published import compare as compare_numbers

pytestmark = pytest.mark.slow

EXACT = ("simple", "simple_f", "marginal_pass", "sfe", "rloo", "ste")
SAMPLED = ("simple_b", "imle_sog", "imle_gumbel", "softsub")
REPLICATES = 10_000


def run(path: Path, experiments: tuple[str, ...], names: tuple[str, ...], backend: str, **choices: object) -> None:
    backends = tuple(backend.split(","))
    chosen = Choices(estimators=names, backends=backends, replicates=REPLICATES, **choices)
    plans = run_command.plans(experiments, chosen)
    status = run_command.run(plans, path, dry_run=False, force=False, command="python -m benchmarks run")
    assert status == 0, "some cell failed"


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Returns the rows of a store after runs of both figures."""
    path = tmp_path_factory.mktemp("golden") / "store.sqlite"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # arrays are small: on a busy machine, several threads take ten times as long
    run(path, ("figure1",), EXACT, "torch:cpu,jax:cpu")
    run(path, ("figure1",), SAMPLED, "torch:cpu")
    run(path, ("figure1",), ("imle_gumbel",), "jax:cpu")
    run(path, ("figure3",), ("simple", "sfe"), "torch:cpu,jax:cpu")
    run(path, ("figure3",), ("rloo", "stgs"), "torch:cpu")
    run(path, ("figure1",), ("simple", "sfe", "ste"), "torch:cpu", objective="distance_signed")
    torch.set_num_threads(threads)
    with Store(path) as store:
        return pd.DataFrame(store.rows())


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    return compare_numbers(select(prepare(rows)), list(map(asdict, NUMBERS)))


@pytest.fixture(scope="module")
def compared(rows: pd.DataFrame) -> pd.DataFrame:
    return compare(rows)


def disagrees(frame: pd.DataFrame) -> pd.Series:
    """Returns which rows miss their number; not those whose number was not compared (None)."""
    return frame["agrees"].eq(False)


def as_text(frame: pd.DataFrame) -> str:
    columns = ["experiment", "estimator", "params", "metric", "statistic", "seed", "value", "ours", "ours_se", "series"]
    return frame[columns].to_string()


def test_every_golden_number_is_compared_on_torch(compared: pd.DataFrame) -> None:
    on_torch = compared[compared["series"].str.startswith("torch")]
    assert len(on_torch) == len(NUMBERS)
    assert on_torch["agrees"].notna().all(), "not computed:\n" + as_text(on_torch[on_torch["agrees"].isna()])


def test_every_exact_number_is_compared_on_jax(compared: pd.DataFrame) -> None:
    jax = compared[compared["series"].str.startswith("jax") & (compared["objective"] == "distance")]
    exact = jax[jax["estimator"].isin(EXACT)]
    assert len(exact) > 100
    assert exact["agrees"].notna().all(), "not computed:\n" + as_text(exact[exact["agrees"].isna()])
    assert jax[jax["estimator"] == "imle_gumbel"]["agrees"].notna().all()


@pytest.mark.parametrize("kind", ["exact", "sampled", "plotted"])
@pytest.mark.parametrize("experiment", ["figure1", "figure3"])
def test_golden_numbers_are_met(compared: pd.DataFrame, experiment: str, kind: str) -> None:
    of_figure = compared[(compared["experiment"] == experiment) & (compared["kind"] == kind)]
    of_figure = of_figure[of_figure["agrees"].notna()]
    assert len(of_figure) > 3
    wrong = of_figure[disagrees(of_figure)]
    assert wrong.empty, f"{len(wrong)} of {len(of_figure)} golden numbers are missed:\n" + as_text(wrong)


def test_exact_rows_are_finite_sums(rows: pd.DataFrame) -> None:
    defined = rows[rows["value"].notna()]
    assert (defined[defined["estimator"].isin(EXACT)]["exact"] == 1).all()
    assert (defined[defined["estimator"].isin(SAMPLED)]["exact"] == 0).all()
    sampled = defined[defined["estimator"].isin(SAMPLED) & defined["metric"].isin(["bias", "variance", "error"])]
    assert (sampled["std_error"] > 0).all()


@pytest.mark.parametrize("name", ["sfe", "rloo"])
def test_unbiased_estimators_have_a_bias_of_exactly_0(rows: pd.DataFrame, name: str) -> None:
    biases = rows[(rows["estimator"] == name) & (rows["metric"] == "bias")]
    assert set(biases["backend"]) == {"torch", "jax"} and set(biases["experiment"]) == {"figure1", "figure3"}
    assert len(biases) >= 21
    assert (biases["value"] == 0.0).all() and (biases["exact"] == 1).all()
    assert set(biases["samples"]) == ({2} if name == "rloo" else {1})


def test_backends_agree_on_exact_rows_to_rounding(rows: pd.DataFrame) -> None:
    # error_std is left out: it is the root of a difference, so its rounding error is about 1e-8.
    metrics = ["bias", "variance", "error", "relative_bias", "total_variance", "relative_mse", "zero_probability"]
    exact = rows[(rows["exact"] == 1) & rows["metric"].isin(metrics) & rows["seed"].isin(SEEDS)]
    on_both = (exact["experiment"] == "figure1") | exact["estimator"].isin(["simple", "sfe"])
    exact = exact[(exact["objective"] == "distance") & on_both]
    keys = ["experiment", "estimator", "seed", "target", "metric"]
    both = exact.pivot(index=keys, columns="backend", values="value")
    assert len(both) > 400 and both.notna().all(axis=None)
    gap = (both["torch"] - both["jax"]).abs() / both["torch"].abs().clip(lower=1.0)
    assert gap.max() < 1e-9, both[gap >= 1e-9].to_string()


def relabelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns wrong rows: the results of SoftSub on θ and of SoftSub on log σ(θ) are exchanged."""
    swapped = {"theta": "logsigmoid", "logsigmoid": "theta"}

    def swap(text: str) -> str:
        params = json.loads(text)
        return json.dumps(params | {"logits": swapped[params["logits"]]}) if "logits" in params else text

    return rows.assign(params=rows["params"].map(swap))


def test_golden_numbers_catch_estimators_under_wrong_names(rows: pd.DataFrame) -> None:
    wrong = compare(relabelled(rows))
    softsub = wrong[(wrong["estimator"] == "softsub") & (wrong["experiment"] == "figure1")]
    assert disagrees(softsub).sum() > 10
    shifted = rows.assign(seed=rows["seed"].map({1234: 1067, 1067: 1234}).fillna(rows["seed"]).astype(int))
    wrong = compare(shifted)
    assert disagrees(wrong[wrong["seed"].isin([1234, 1067])]).sum() > 20
