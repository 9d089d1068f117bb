"""The options of `python -m benchmarks run`, as arguments or in a file, and the messages for wrong ones."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from command_line import FEW, call, rows_of

from benchmarks.__main__ import main
from benchmarks.commands import run
from benchmarks.experiments.base import Choices
from benchmarks.experiments.selectors import split_selectors


def planned(*selectors, experiment="figure1"):
    """Returns the estimators and parameters of the cells of one seed on torch."""
    chosen = split_selectors(selectors)
    choices = Choices(estimators=chosen, seeds=(1234,), backends=("torch:cpu",))
    (plan,) = run.plans((experiment,), choices)
    return [(cell.estimator, dict(cell.params)) for cell in plan.cells]


class TestSelectors:
    def test_commas_outside_brackets_separate(self):
        cells = planned("sfe,softsub[temperature=1,epsilon=1e-3],rloo", "ste", experiment="sweep")
        assert [name for name, _ in cells[:4]] == ["sfe", "softsub", "rloo", "ste"]
        assert cells[1][1] == {"temperature": 1.0, "epsilon": 1e-3, "logits": "theta"}

    def test_blanks_separate_too(self):
        assert [name for name, _ in planned("sfe simple", " ste ")] == ["sfe", "simple", "ste"]

    def test_a_bare_name_stands_for_the_experiments_settings(self):
        assert [params["logits"] for _, params in planned("softsub")] == ["logsigmoid", "theta"]
        assert {params["temperature"] for _, params in planned("softsub")} == {2.0}

    def test_a_parameter_that_is_not_in_brackets_has_its_default(self):
        assert planned("imle_sog[step_size=3]") == [
            ("imle_sog", {"step_size": 3.0, "kappa": 0.0, "tau": 1.0, "terms": 10})
        ]

    def test_a_repeated_selector_gives_one_cell(self):
        assert len(planned("simple", "simple")) == 1

    @pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
    def test_booleans_are_parsed(self, text, value):
        assert planned(f"aimle[central={text}]")[0][1]["central"] is value


MISTAKES = [  # arguments, and the message that the error line contains
    (("-e", "simpel"), "unknown estimator 'simpel'; known: exact_enum, simple,"),
    (("-e", "simple[step=1]"), "simple has no parameter 'step'; its parameters: none"),
    (("-e", "simple_f[step=1]"), "simple_f has no parameter 'step'; its parameters: step_size"),
    (("-e", "simple_f[step_size=far]"), "simple_f[step_size='far']: expected finite float, as the default 2.5"),
    (("-e", "imle_sog[terms=1.5]"), "imle_sog[terms=1.5]: expected int, as the default 10"),
    (
        ("-e", "simple_f[step_size"),
        "'simple_f[step_size' is not of the form name[param=value,...]: the closing bracket",
    ),
    (("-e", "simple_f[step_size]"), "is not of the form name[param=value,...]: look at 'step_size'"),
    (("-e", "no_such:NAME"), "estimator 'no_such:NAME': no module 'no_such' on the import path"),
    (("--objective", "distanse"), "unknown objective 'distanse'; known: distance,"),
    (("--objective", ""), "unknown objective ''; known: distance,"),
    (("--objective", "distance[extension=cube]"), "objective distance has no extension 'cube'; choose square, linear"),
    (("--objective", "distance[scale=2]"), "objective distance has no option 'scale'; it has: extension"),
    (("--backend", "numpy"), "--backend 'numpy' is not known; choose from torch:cpu,"),
    (("--backend", ","), "--backend ',' names no backend"),
    (("--backend", "torch:tpu"), "--backend 'torch:tpu' is not known; choose from torch:cpu,"),
    (("-n", "8"), "n=8: figure1 has n=10 by definition; use the experiment sweep for others"),
    (("-k", "2,3"), "k=2,3: figure1 has k=5 by definition; use the experiment sweep for others"),
    (("-n", "ten"), "-n 'ten' is not a list of whole numbers; write 8,10 or 0:10"),
    (("--seeds", "a:b"), "--seeds 'a:b' is not a list of whole numbers; write 8,10 or 0:10"),
    (("--seeds", "3:"), "--seeds '3:' is not a list of whole numbers; write 8,10 or 0:10"),
    (("--seeds", "5:5"), "--seeds '5:5' names no number"),
    (("--seeds=-1",), "--seeds -1 is outside [0, 4294967295]"),
    (("--seeds", "1.5"), "--seeds '1.5' is not a list of whole numbers"),
    (("--replicates", "250"), "--replicates 250 is not a multiple of 100 and at least 200"),
    (("--replicates", "100"), "'--replicates': 100 is not in the range x>=200"),
    (("--samples", "0"), "'--samples': 0 is not in the range x>=1"),
    (("--preset", "tiny"), "'--preset': 'tiny' is not one of 'quick', 'paper', 'full'"),
    (("--dtype", "float16"), "'--dtype': 'float16' is not one of 'float32', 'float64'"),
]


class TestMistakes:
    @pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
    def test_a_mistake_gives_one_line_with_the_argument_its_value_and_the_choices(
        self, arguments, message, store, computed
    ):
        result = call("run", "figure1", *arguments, "--store", store)
        assert result.exit_code != 0
        (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
        assert message in line
        assert computed == [] and not store.exists()

    def test_an_unknown_experiment(self):
        result = call("run", "figure2")
        assert result.exit_code == 1
        assert "Error: unknown experiment 'figure2'; known: figure1, figure3, sweep" in result.output

    def test_a_file_that_is_not_a_store(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("mine\n")
        result = call("run", "figure1", "-e", "simple", *FEW, "--store", path)
        assert result.exit_code == 1 and "is not a results store" in result.output
        assert path.read_text() == "mine\n"

    def test_a_folder_instead_of_a_store(self, tmp_path):
        result = call("run", "figure1", "-e", "simple", *FEW, "--store", tmp_path)
        assert result.exit_code == 1 and result.output.splitlines()[-1].startswith("Error: ")

    def test_debug_raises_the_error_in_its_own_call_only(self):
        result = CliRunner().invoke(main, ["--debug", "run", "figure2"])
        assert isinstance(result.exception, ValueError)
        assert call("run", "figure2").exit_code == 1


class TestSettingsFile:
    def write(self, tmp_path, text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    def test_it_has_the_options_of_the_command_line(self, tmp_path, store, computed):
        path = self.write(
            tmp_path,
            """
            experiment = "sweep"
            estimators = ["simple", "imle_sog[step_size=3]"]
            n = [6, 7]
            k = 3
            seeds = "0:2"
            replicates = 400
            objective = "pairwise[extension=square]"
            backend = "torch:cpu"
            dtype = "float32"
            """,
        )
        assert call("run", path, "--store", store).exit_code == 0
        assert len(computed) == 8
        assert {(c.n, c.k, c.replicates, c.extension, c.dtype) for c in computed} == {
            (n, 3, 400, "square", "float32") for n in (6, 7)
        }
        assert {row["experiment"] for row in rows_of(store)} == {"sweep"}

    def test_the_command_line_overrides_it(self, tmp_path, store, computed):
        path = self.write(tmp_path, 'estimators = ["simple"]\nn = 6\nk = 3\nseeds = 0\nbackend = "torch"\n')
        call("run", path, "-e", "sfe", "-n", "7", "--store", store)
        assert [(cell.estimator, cell.n, cell.k) for cell in computed] == [("sfe", 7, 3)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("estimator = ['simple']", "unknown field `estimator`"),
            ("estimators = 'simple'", "$.estimators"),
            ("preset = 'tiny'", "$.preset"),
            ("replicates = 100", "$.replicates"),
            ("seeds = ['a']", "$.seeds"),
            ("seeds = 'a:b'", "seeds 'a:b' is not a list of whole numbers"),
            ("n = [", "mine.toml: "),
            ("experiment = 'figure2'", "unknown experiment 'figure2'"),
        ],
    )
    def test_a_mistake_in_it_gives_one_line(self, tmp_path, text, message):
        result = call("run", self.write(tmp_path, text))
        assert result.exit_code == 1
        (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
        assert message in line

    def test_an_absent_one_is_named(self, tmp_path):
        result = call("run", tmp_path / "absent.toml")
        assert result.exit_code == 1 and "absent.toml" in result.output
