"""Names that rows carry: kinds, columns, metrics, targets. `reports` imports this module and no other of `benchmarks`.

The standard library alone is imported here.
"""

from __future__ import annotations

QUALITY, COST = KINDS = ("quality", "cost")
STATUSES = ("ok", "failed", "skipped")

# One row is one metric of one cell.
COLUMNS = (
    "experiment estimator params law target objective extension logits n k seed samples replicates "
    "backend device dtype metric value std_error exact status cell run reason batch mode threads environment kind"
).split()

CONDITIONAL_POISSON, PLACKETT_LUCE = "conditional_poisson", "plackett_luce"

QUALITY_METRICS = (
    "bias bias_raw bias_floor variance error error_std relative_bias total_variance relative_mse zero_probability "
    "descent_probability"
).split()
COST_METRICS = (
    "sample_seconds forward_seconds backward_seconds total_seconds first_seconds trace_seconds compile_seconds "
    "peak_bytes"
).split()
