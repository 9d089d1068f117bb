"""Published numbers are complete, and a wrong value of ours does not agree with them."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest
import reports_store

from benchmarks.experiments.published import NUMBERS, ORIGINS, SEEDS, Number
from benchmarks.results import agreement
from benchmarks.results.store import Store
from reports import data
from reports.quality import published
from reports.quality.board import boards, select


def number(**changed: object) -> Number:
    plain = next(each for each in NUMBERS if each.kind == "exact" and each.unit == pytest.approx(1e-4))
    return dataclasses.replace(plain, **{"value": 0.0368, **changed})


@pytest.mark.parametrize(
    ("kind", "what", "value", "std_error", "agrees"),
    [
        ("exact", {}, 0.0369, 0.0, True),
        ("exact", {}, 0.03691, 0.0, False),
        ("exact", {}, 0.0376, 0.0002, True),  # ours is sampled: four of its standard errors are added
        ("exact", {}, 0.0378, 0.0002, False),
        ("sampled", {"std_error": 0.0003, "unit": 1e-5}, 0.0368 + 0.0019, 0.0004, True),
        ("sampled", {"std_error": 0.0003, "unit": 1e-5}, 0.0368 + 0.0021, 0.0004, False),
        ("plotted", {"unit": 0.01}, 0.0467, 0.0, True),
        ("plotted", {"unit": 0.01}, 0.0469, 0.0, False),
        ("plotted", {"unit": 0.002}, 0.0346, 0.0, False),
    ],
)
def test_agreement_keeps_to_the_precision_of_each_kind(kind, what, value, std_error, agrees):
    assert agreement.meets_published(dataclasses.asdict(number(kind=kind, **what)), value, std_error) is agrees


def test_numbers_have_the_fields_that_their_kind_needs():
    assert len(NUMBERS) > 280
    assert len(set(map(repr, NUMBERS))) == len(NUMBERS)
    for each in NUMBERS:
        assert each.kind in {"exact", "sampled", "plotted"} and each.origin in ORIGINS
        assert (each.std_error > 0) == (each.kind == "sampled")
        assert (each.seed is not None) == (each.statistic == "value")
        assert each.seed is None or each.seed in each.seeds
        assert each.unit > 0 and each.source


def test_means_are_the_means_of_their_seeds():
    """Ten values and their mean are two transcriptions of one quantity, so they must agree."""
    compared = 0
    for mean in NUMBERS:
        values = [
            each.value
            for each in NUMBERS
            if each.seed is not None
            and (each.experiment, each.estimator, each.metric, each.params)
            == (mean.experiment, mean.estimator, mean.metric, mean.params)
        ]
        if (
            len(values) == 10
            and mean.origin == "reference value"
            and mean.statistic == "mean"
            and mean.objective == "distance"
        ):
            tolerance = mean.unit + 4 * mean.std_error + 4 * 0.0004 * (mean.kind == "sampled")
            assert abs(sum(values) / 10 - mean.value) <= tolerance, mean
            compared += 1
    assert compared >= 14


def published_store(store: Store, save, wrong: float = 0.0) -> None:
    """Ten seeds of SIMPLE's bias as published, the fourth seed off by `wrong`; and a sampled estimator."""
    del store
    biases = [n.value for n in NUMBERS if (n.estimator, n.metric, n.statistic) == ("simple", "bias", "value")]
    for index, (seed, bias) in enumerate(zip(SEEDS, biases[:10], strict=True)):
        save(reports_store.cell_of("simple", seed=seed), {"bias": bias + (wrong if index == 3 else 0.0)})
        save(reports_store.cell_of("rloo", seed=seed, samples=2), {"error": 0.7182})
        softsub = reports_store.cell_of("softsub", reports_store.LOGSIGMOID, seed=seed)
        save(softsub, {"error": 0.2712}, std_error=0.002)


def compared(tmp_path, **changed):
    path = reports_store.write(tmp_path / "store.sqlite", lambda store, save: published_store(store, save, **changed))
    with Store(path) as store:
        raw = store.rows()
    frame = compare(data.read(path))
    # Rows that `reports` has not read give the same: other tests compare without a page.
    selected = select(data.prepare(pd.DataFrame(raw)))
    assert published.compare(selected, list(map(dataclasses.asdict, NUMBERS)))["agrees"].tolist() == (
        frame["agrees"].tolist()
    )
    return frame


def compare(results: data.Results) -> pd.DataFrame:
    """Compares as the page does: the numbers come from the store."""
    return published.compare(pd.concat([board.selected for board in boards(results)]), results.entries("number"))


def test_right_store_agrees_and_absent_cells_are_neither_right_nor_wrong(tmp_path):
    frame = compared(tmp_path)
    assert len(frame) == len(NUMBERS)
    compared_rows = frame[frame["agrees"].notna()]
    assert compared_rows["agrees"].all()
    assert set(compared_rows["estimator"]) == {"simple", "rloo", "softsub"}
    assert len(compared_rows[compared_rows["seed"].notna()]) == 10
    assert len(compared_rows[compared_rows["statistic"] == "spread"]) == 1
    (softsub,) = compared_rows[
        (compared_rows["estimator"] == "softsub") & (compared_rows["origin"] == "SFESS notebook")
    ].to_dict("records")
    assert softsub["ours_se"] == pytest.approx(0.002 / 10**0.5)
    assert frame.loc[frame["agrees"].isna(), "ours"].isna().all()


def test_wrong_twin_is_flagged(tmp_path):
    frame = compared(tmp_path, wrong=0.0021)
    wrong = frame[frame["agrees"].eq(False)]  # None does not count
    assert set(wrong["statistic"]) == {"value", "mean", "spread"}
    assert wrong.loc[wrong["statistic"] == "value", "seed"].tolist() == [SEEDS[3]]


def test_mean_needs_all_seeds(tmp_path):
    def fill(_, save):
        for seed in SEEDS[:9]:
            save(reports_store.cell_of("rloo", seed=seed, samples=2), {"error": 0.7182})

    frame = compare(data.read(reports_store.write(tmp_path / "nine.sqlite", fill)))
    assert frame["agrees"].isna().all()


def test_other_parameters_or_samples_are_not_compared(tmp_path):
    def fill(_, save):
        for seed in SEEDS:
            save(reports_store.cell_of("imle_sog", {"step_size": 1.0, "kappa": 5}, seed=seed), {"bias": 0.1})
            save(reports_store.cell_of("simple", seed=seed, samples=32), {"error": 0.0455})
            save(reports_store.cell_of("ste", seed=seed, n=20), {"bias": 0.5})

    frame = compare(data.read(reports_store.write(tmp_path / "other.sqlite", fill)))
    assert frame["agrees"].isna().all()
