"""The benchmarks switch jax to 64 bits, with the same results after any earlier use of jax."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp

ROOT = Path(__file__).parents[2]
BEFORE = {
    "not imported": "",
    "imported": "import jax",
    "used": "import jax; jax.jit(lambda x: x * 2)(jax.numpy.arange(3.0))",
    "used by an estimator": """
from subsetgrad import ops, subsets
narrow = ops.load("jax:cpu", "float32")
assert subsets.marginals(narrow, narrow.asarray(THETA), 2).dtype == "float32"
""",
}
LOADED = """
import json, sys
THETA = [[0.0, 1.0, -2.0]]
{before}
assert "jax" not in sys.modules or not sys.modules["jax"].config.jax_enable_x64
from benchmarks import backends
from subsetgrad import subsets
results = {{}}
for dtype in ("float64", "float32"):
    ops = backends.load("jax", "cpu", dtype)
    marginals = subsets.marginals(ops, ops.asarray(THETA), 2)
    results[dtype] = [str(marginals.dtype), marginals.tolist()]
print(json.dumps(results))
"""


@pytest.mark.parametrize("before", BEFORE)
def test_jax_computes_in_64_bits_after_any_earlier_use(before):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_ENABLE_X64"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOADED.format(before=BEFORE[before])],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    # Of three items two are chosen, so one is left out, with probability proportional to exp(-theta).
    theta = np.array([0.0, 1.0, -2.0])
    exact = 1 - np.exp(-theta - logsumexp(-theta))
    for dtype, error in (("float64", 1e-14), ("float32", 1e-6)):
        assert results[dtype][0] == dtype
        np.testing.assert_allclose(results[dtype][1][0], exact, rtol=error)
