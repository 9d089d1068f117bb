"""Which cells `python -m benchmarks run scaling` measures: options, presets, keys and groups."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from command_line import TIMING, call, words
from interpreter import python
from stored import differing

from benchmarks.cost import measure
from benchmarks.experiments.base import Choices
from benchmarks.experiments.scaling import PAPER_FORMS, SCALING
from benchmarks.results.cell import TimingCell

CELL = TimingCell(
    estimator="simple",
    params=(),
    logits="normal",
    n=10,
    k=5,
    seed=0,
    samples=1,
    batch=64,
    mode="eager",
    threads=1,
    environment="0123abcd",
    backend="torch",
    device="cpu",
    dtype="float32",
)


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("scaling", "--seeds", "0:3"), "seeds=0,1,2: scaling has no seeds: it measures cost"),
            (("scaling", "--replicates", "400"), "replicates=400: scaling has no replicates"),
            (("figure1", "--batch", "64"), "batch=64: figure1 has no batch: it measures quality"),
            (("scaling", "--mode", "fast"), "--mode 'fast' is not known; choose from eager, compiled"),
            (("scaling", "--batch", "0"), "--batch 0 is too small; it is at least 1"),
            (("scaling", "-n", "0,8"), "-n 0 is too small; it is at least 1"),
            (("sweep", "-n", "0,8"), "-n 0 is too small; it is at least 1"),
            (("scaling", "-n", "10", "-k", "8"), "nothing to compute"),
            (
                ("scaling", "--preset", "quick", "-n", "7"),
                "nothing to compute: -n 7: no k of the preset is at most n/2; give -k",
            ),
            (
                ("scaling", "--preset", "quick", "-k", "600"),
                "nothing to compute: -k 600: no n of the preset is at least 2k; give -n",
            ),
        ],
    )
    def test_a_mistake_is_named(self, store, arguments, message):
        result = call("run", *arguments, "--store", store)
        assert result.exit_code == 1 and message in words(result)

    def test_a_file_accepts_the_options_of_the_command_line(self, store, tmp_path):
        settings = tmp_path / "mine.toml"
        settings.write_text(
            'experiment = "scaling"\nn = 6\nk = 2\nbatch = [2, 4]\nmode = "eager"\nestimators = ["ste"]\n'
        )
        shown = call("run", settings, "--backend", "torch:cpu", "--dry-run", "--store", store)
        assert [line for line in shown.output.splitlines() if line.startswith("ste[]")] == [
            f"ste[] n=6 k=2 batch={batch} S=1 torch:cpu float32 eager threads=1" for batch in (2, 4)
        ]

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("-n", "7,8", "-e", "ste"), "left out -n 7: no k of the preset is at most n/2; give -k"),
            (("-n", "10", "-k", "2,8", "-e", "ste"), "left out n=10 k=8: scaling goes from k=1 to k=n/2"),
            (
                ("-n", "6,64", "-k", "2", "-e", "exact_enum"),
                "left out exact_enum: n=64: timed up to n=16, because it sums",
            ),
        ],
    )
    def test_cells_outside_the_grid_are_left_out_with_a_reason(self, store, arguments, reason):
        result = call(*TIMING, *arguments, "--store", store, "--dry-run")
        assert reason in words(result) and "1 to compute" in words(result)

    def test_presets_contain_the_documented_sizes(self):
        plans = {
            preset: SCALING.plan(Choices(preset=preset, backends=("torch", "jax"))).cells for preset in SCALING.presets
        }
        assert {cell.backend for cell in plans["quick"]} == {"torch", "jax"}
        assert {10, 1024} <= {cell.n for cell in plans["quick"]}
        assert (max(cell.n for cell in plans["paper"]), max(cell.n for cell in plans["full"])) == (10_000, 100_000)
        assert {cell.dtype for cell in plans["full"]} == {"float32", "float64"}
        assert {cell.mode for cell in plans["full"] if cell.n > 100 and cell.backend == "torch"} == {"eager"}
        assert {cell.mode for cell in plans["full"] if cell.n <= 100} == {"eager", "compiled"}
        for cells in plans.values():
            assert all(1 <= cell.k <= cell.n / 2 for cell in cells)
            assert [cell.n for cell in cells] == sorted(cell.n for cell in cells)
        assert max(cell.n for cell in plans["full"] if cell.estimator in PAPER_FORMS) == 1000

    def test_planning_imports_no_framework(self):
        code = """
import sys
from benchmarks.__main__ import main
main(["run", "scaling", "--preset", "full", "--dry-run", "--store", sys.argv[1]], standalone_mode=False)
"""
        check = "\nexcept SystemExit: print(sorted({'torch', 'jax'} & set(sys.modules)))"
        code = "try:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + check
        assert python(code, "absent.sqlite").endswith("[]\n")


class TestCells:
    @pytest.mark.parametrize("field", [field.name for field in fields(CELL)])
    def test_every_field_changes_the_key(self, field):
        assert differing(CELL, field).key != CELL.key

    def test_keys_stay_the_same(self):
        # A change of `schema` or of the fields changes this key as well.
        assert CELL.key == "5e30a89c90b4c96087ab"

    def test_a_group_differs_in_the_estimator_alone(self):
        other = replace(CELL, estimator="ste", params=(("x", 1),), samples=2)
        groups = measure.groups([CELL, replace(CELL, n=20), other, replace(CELL, mode="compiled")])
        assert [len(group) for group in groups] == [2, 1, 1] and groups[0] == (CELL, other)
