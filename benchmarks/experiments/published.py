"""Published numbers of the experiments, as data: a run stores them with its rows, and `reports` compares.

They have three origins. Two public notebooks store figures and no numbers: their values are read by eye. Reference
values were computed for this project by code that is independent of the code under test: finite sums over the 252
subsets (or their pairs) in float64, or a stated number of replicates with a standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import sqrt
from typing import Any

SEEDS = (1234, 1067, 9198, 9453, 6240, 7044, 1755, 7898, 3131, 1277)
_FIGURE1: dict[str, Any] = {"experiment": "figure1", "n": 10, "k": 5, "seeds": SEEDS}
_FIGURE3: dict[str, Any] = {"experiment": "figure3", "n": 10, "k": 1, "seeds": SEEDS[:1]}
STEP = {"step_size": 2.5}
SUM_OF_GAMMA = {"step_size": 2.5, "kappa": 5}
LOGSIGMOID = {"logits": "logsigmoid", "temperature": 2.0}
THETA = {"logits": "theta", "temperature": 2.0}

# An entry for pages: this estimator is the exact gradient itself, shown and not ranked.
EXACT_GRADIENT = {"type": "reference", "estimators": ["exact_enum"]}
# An estimator's name and parameters, and the paper's label.
Bar = tuple[str, Mapping[str, Any], str]
AUTHORS, SFESS, REFERENCE = ORIGINS = ("authors' notebook", "SFESS notebook", "reference value")

_AUTHORS_SOURCE = "UCLA-StarAI/SIMPLE k-subset_distribution.ipynb, stored PNG, read by eye"
_AUTHORS_K1_SOURCE = "UCLA-StarAI/SIMPLE k-subset-k=1.ipynb, stored PNG, read by eye"
_SFESS_SOURCE = "klaswijk/sfess variance_reduction.ipynb, stored PNG, read by eye"
_ENUMERATED = "computed independently by enumeration, float64"
_TEN_THOUSAND = "10⁴ replicates a seed, cosine bias not debiased"
_TWO_HUNDRED_THOUSAND = "2·10⁵ replicates a seed, jackknifed"
_PLOT_TOLERANCE = {"bias": 0.01, "error": 0.01, "variance": 0.002}


@dataclass(frozen=True)
class Number:
    """One published number.

    Attributes:
      experiment, n, k, seeds: the experiment that repeats it, its size, and all its seeds.
      estimator, params, samples, objective: the cells to compare with; `params` lists only the parameters that matter.
      metric: name of a metric.
      statistic: `value` at one `seed`, `mean` over the experiment's seeds, or `spread` (standard deviation over them).
      seed: None unless `statistic` is `value`.
      value: the number.
      unit: one unit of its last digit; of a `plotted` number the precision of reading the figure.
      std_error: of a `sampled` number; 0 otherwise.
      kind: `exact`, `sampled` or `plotted`.
      origin: one of `ORIGINS`, the column of the page's table.
      source: in words.
      replicates: where the number depends on them (a floor), else None.
    """

    experiment: str
    n: int
    k: int
    seeds: tuple[int, ...]
    estimator: str
    metric: str
    value: float
    unit: float
    kind: str
    origin: str
    source: str
    statistic: str = "mean"
    seed: int | None = None
    std_error: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)
    samples: int = 1
    objective: str = "distance"
    replicates: int | None = None


def _number(text: str, **fields: Any) -> Number:
    """Returns the record of a number as printed; its decimals give the unit."""
    decimals = len(text.partition(".")[2])
    return Number(value=float(text), **{"unit": 10.0**-decimals, **fields})


# Ten-seed means by enumeration: metric, mean, and the standard deviation over seeds where one was given.
_EXACT = {
    "sfe": "bias 0.0000, variance 0.1312 0.0247, error 0.9988, error_std 0.361, relative_bias 0.000, "
    "total_variance 176.56",
    "simple": "bias 0.0368 0.0205, variance 0.0123 0.0129, error 0.2468, error_std 0.103, relative_bias 0.290, "
    "total_variance 0.489",
    "simple_f": "bias 0.2899 0.1647, variance 0.0756 0.0179, error 0.6786, error_std 0.253, relative_bias 1.093, "
    "total_variance 5.667",
    "ste": "bias 0.1897 0.0588, variance 0.0076, error 0.3357, relative_bias 4.479, total_variance 8.096",
    "marginal_pass": "bias 0.0368 0.0205, variance 0.0000, error 0.0368, relative_bias 0.290, total_variance 0.000",
    "rloo": "variance 0.0450, error 0.7182",
}
# Means where noise is continuous: metric, 10⁴-replicate value, standard deviation over seeds or -, standard error of
# that mean, then the 2·10⁵-replicate value and its standard error.
_SAMPLED: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    (
        "imle_sog",
        SUM_OF_GAMMA,
        "bias 0.4597 0.1385 .00072 0.45947 .00016, variance 0.0313 0.0249 .00036 0.03137 .00008, "
        "error 0.5790 - .00058 0.57900 .00013, error_std 0.173 - .0004, relative_bias 2.196 - .0018, "
        "total_variance 2.463 - .0053",
    ),
    (
        "imle_gumbel",
        STEP,
        "bias 0.2828 0.1534 .00080 0.28084 .00018, variance 0.0461 - .00031 0.04637 .00007, "
        "error 0.5596 - .00067 0.55859 .00015, relative_bias 1.405 - .0025, total_variance 3.872 - .0052",
    ),
    (
        "simple_b",
        SUM_OF_GAMMA,
        "bias 0.3731 0.1399 .00027 0.37288 .00006, variance 0.0063 0.0061 .00005 0.00635 .00001, "
        "error 0.4169 - .00022 0.41693 .00005, error_std 0.064 - .00015, relative_bias 1.487 - .0007, "
        "total_variance 0.326 - .0009",
    ),
    (
        "softsub",
        LOGSIGMOID,
        "bias 0.0832 0.0628 .00031 0.08278 .00007, variance 0.0309 0.0171 .00027 0.03107 .00006, "
        "error 0.2710 - .00054 0.27095 .00012, error_std 0.166 - .0007, relative_bias 0.637 - .0004, "
        "total_variance 0.114 - .0005",
    ),
    (
        "softsub",
        THETA,
        "bias 0.0772 0.0515 .00040 0.07700 .00009, variance 0.0304 - .00027 0.03037 .00006, "
        "error 0.2709 - .00054 0.27104 .00012, relative_bias 0.427 - .0010, total_variance 0.519 - .0017",
    ),
)
# Read from figures: estimator, then metric, the authors' notebook, the SFESS notebook (- where it does not plot it).
_PLOTTED: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("softsub", LOGSIGMOID, "bias .08 .082, variance .031 .031, error .27 .27"),
    ("imle_sog", SUM_OF_GAMMA, "bias .46 .458, variance .032 .031, error .57 .58"),
    ("sfe", {}, "bias .004 -, variance .131 .130, error 1.00 1.00"),
    ("simple_f", STEP, "bias .29 -, variance .076 -, error .68 -"),
    ("simple_b", SUM_OF_GAMMA, "bias .375 -, variance .006 -, error .42 -"),
    ("simple", {}, "bias .035 .035, variance .012 .0125, error .24 .245"),
)
# One value a seed, in the order of SEEDS; with the largest standard error of any of them where sampled.
_PER_SEED: tuple[tuple[str, Mapping[str, Any], str, float, str], ...] = (
    ("simple", {}, "bias", 0, ".0380 .0199 .0122 .0517 .0526 .0145 .0328 .0210 .0503 .0754"),
    ("simple", {}, "variance", 0, ".0057 .0077 .0007 .0339 .0175 .0048 .0087 .0037 .0039 .0365"),
    ("simple", {}, "error", 0, ".2000 .2647 .0825 .3747 .3453 .2001 .2413 .1481 .1888 .4221"),
    ("simple_f", STEP, "bias", 0, ".3153 .1047 .1646 .4000 .3100 .0584 .1435 .4138 .5534 .4356"),
    ("simple_f", STEP, "variance", 0, ".0610 .1188 .0717 .0811 .0659 .0656 .0700 .0672 .0626 .0924"),
    ("simple_f", STEP, "error", 0, ".6283 .6754 .5637 .7541 .6845 .6449 .6129 .6718 .7507 .7997"),
    ("sfe", {}, "variance", 0, ".1384 .1201 .1219 .1401 .1244 .1105 .1129 .1963 .1219 .1249"),
    ("sfe", {}, "error", 0, ".9944 1.0234 .9903 .9827 .9934 1.0061 .9902 .9900 1.0147 1.0025"),
    ("ste", {}, "bias", 0, ".2411 .1427 .1861 .1811 .1640 .2372 .0895 .3021 .1868 .1663"),
    ("ste", {}, "error", 0, ".3377 .3164 .2328 .4319 .3492 .3406 .2598 .3720 .2582 .4588"),
    ("marginal_pass", {}, "bias", 0, ".0380 .0199 .0122 .0517 .0526 .0145 .0328 .0210 .0503 .0754"),
    ("marginal_pass", {}, "error", 0, ".0380 .0199 .0122 .0517 .0526 .0145 .0328 .0210 .0503 .0754"),
    ("imle_sog", SUM_OF_GAMMA, "bias", 0.00065, ".3974 .4431 .3090 .4705 .4428 .3365 .3405 .4701 .7599 .6251"),
    ("simple_b", SUM_OF_GAMMA, "bias", 0.00026, ".3937 .2632 .2384 .4447 .3715 .1703 .2534 .4577 .6053 .5307"),
    ("softsub", LOGSIGMOID, "bias", 0.0004, ".0726 .0332 .0160 .1272 .1207 .0131 .0629 .2040 .1402 .0381"),
)


def _fields(text: str) -> Iterator[list[str]]:
    return (entry.split() for entry in text.split(","))


def _figure1() -> Iterator[Number]:
    base = _FIGURE1
    for estimator, entries in _EXACT.items():
        exact = base | {"estimator": estimator, "kind": "exact", "origin": REFERENCE, "source": _ENUMERATED}
        exact["samples"] = 2 if estimator == "rloo" else 1  # leave-one-out needs a second sample
        exact["params"] = STEP if estimator == "simple_f" else {}
        for metric, mean, *spread in _fields(entries):
            yield _number(mean, metric=metric, **exact)
            for text in spread:
                yield _number(text, metric=metric, statistic="spread", **exact)
    for estimator, params, entries in _SAMPLED:
        sampled = base | {"estimator": estimator, "params": params, "kind": "sampled", "origin": REFERENCE}
        for metric, mean, spread_, error, *golden in _fields(entries):
            rough = sampled | {"metric": metric, "source": _TEN_THOUSAND, "std_error": float(error)}
            yield _number(mean, **rough)
            if spread_ != "-":
                # An error e in each seed's value moves the standard deviation of ten by about e/√9, the mean by e/√10.
                yield _number(spread_, statistic="spread", **rough | {"std_error": float(error) * sqrt(10 / 9)})
            if golden:
                yield _number(
                    golden[0], metric=metric, source=_TWO_HUNDRED_THOUSAND, std_error=float(golden[1]), **sampled
                )
    for estimator, params, entries in _PLOTTED:
        for metric, *texts in _fields(entries):
            for text, origin, source in zip(texts, (AUTHORS, SFESS), (_AUTHORS_SOURCE, _SFESS_SOURCE), strict=True):
                if text != "-":
                    plotted = {"kind": "plotted", "origin": origin, "source": source, "unit": _PLOT_TOLERANCE[metric]}
                    yield _number(text, estimator=estimator, params=params, metric=metric, **base, **plotted)
    for estimator, params, metric, std_error, texts_ in _PER_SEED:
        kind, source = ("sampled", _TWO_HUNDRED_THOUSAND) if std_error else ("exact", _ENUMERATED)
        of_estimator = base | {
            "estimator": estimator,
            "params": params,
            "metric": metric,
            "kind": kind,
            "source": source,
        }
        for seed, text in zip(SEEDS, texts_.split(), strict=True):
            yield _number(text, statistic="value", seed=seed, std_error=std_error, origin=REFERENCE, **of_estimator)
    floor = base | {"kind": "exact", "origin": REFERENCE, "source": _ENUMERATED, "replicates": 10_000}
    yield _number("0.0071", estimator="sfe", metric="bias_floor", **floor)
    signed = base | {"objective": "distance_signed", "kind": "exact", "origin": REFERENCE, "source": _ENUMERATED}
    for estimator, metric, text in (
        ("simple", "bias", "0.0154"),
        ("simple", "variance", "0.0021"),
        ("simple", "error", "0.1205"),
        ("sfe", "variance", "0.1301"),
        ("sfe", "error", "1.0025"),
        ("ste", "bias", "0.187"),
    ):
        yield _number(text, estimator=estimator, metric=metric, **signed)
    yield _number("0.0075", estimator="simple", metric="bias", statistic="spread", **signed)


def _figure3() -> Iterator[Number]:
    base = _FIGURE3 | {"statistic": "value", "seed": SEEDS[0]}
    exact = base | {"kind": "exact", "origin": REFERENCE, "source": _ENUMERATED}
    for estimator, entries in {
        "simple": "bias 0.02535, variance 0.02302, error 0.2638, relative_bias 0.224",
        "sfe": "bias 0.0000, variance 0.2101, error 1.0175",
    }.items():
        for metric, text in _fields(entries):
            yield _number(text, estimator=estimator, metric=metric, **exact)
    sampled = base | {"kind": "sampled", "origin": REFERENCE, "source": "2·10⁵ replicates"}
    for metric, text, error in _fields(
        "bias 0.0619 .00075, variance 0.0637 .00024, error 0.6101 .00074, relative_bias 0.382 .0019"
    ):
        yield _number(text, estimator="stgs", metric=metric, std_error=float(error), **sampled)
    plotted = base | {"kind": "plotted", "origin": AUTHORS, "source": _AUTHORS_K1_SOURCE}
    for estimator, entries in {"simple": "bias .025, variance .023", "stgs": "bias .060, variance .063"}.items():
        for metric, text in _fields(entries):
            yield _number(text, estimator=estimator, metric=metric, **plotted | {"unit": _PLOT_TOLERANCE[metric]})


NUMBERS: tuple[Number, ...] = (*_figure1(), *_figure3())


def of(experiment: str) -> list[dict[str, Any]]:
    """Returns the published numbers of an experiment as entries for the page: the fields of `Number`, as JSON data."""
    return [{"type": "number"} | asdict(number) for number in NUMBERS if number.experiment == experiment]


def bars(title: str, metrics: Sequence[str], estimators: Iterable[Bar]) -> dict[str, Any]:
    """Returns a figure of the paper as an entry for the page, which draws it from our numbers.

    Args:
      title: its heading.
      metrics: one or two, each with an axis.
      estimators: the bars, in the paper's order.
    """
    drawn = [dict(zip(("estimator", "params", "label"), bar, strict=True)) for bar in estimators]
    return {"type": "bars", "title": title, "metrics": list(metrics), "estimators": drawn, "origin": AUTHORS}
