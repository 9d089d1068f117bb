"""How moments are sampled: chunks, noise, frozen states, and errors."""

from __future__ import annotations

import numpy as np
import pytest
from questions import question_about, question_of, stacked

from benchmarks.quality import moments, noise_source
from benchmarks.quality.moments import (
    BATCHES,
    exact_moments,
    has_exact,
    sampled_moments,
)
from benchmarks.quality.noise_source import NoiseSource
from subsetgrad import ops as ops_module
from subsetgrad.base import Estimator
from subsetgrad.builders import score_function
from subsetgrad.draws import SUBSET


class Recorded(NoiseSource):
    """A source that cuts one array of noise into chunks, so that results do not depend on the chunks."""

    def __init__(self, seed, replicates):
        super().__init__(seed)
        self.replicates, self.used, self.calls = replicates, 0, 0

    def draws(self, declared, ops, *, samples, rows, n, chunk):
        del chunk
        source = NoiseSource(self.seed, "recorded")
        all_rows = source.draws(declared, ops, samples=samples, rows=self.replicates, n=n, chunk=0)
        first, self.used, self.calls = self.used, self.used + rows, self.calls + 1
        return {name: array[:, first : first + rows] for name, array in all_rows.items()}


class TestChunks:
    @pytest.mark.parametrize("name", ["sfe", "imle_gumbel", "l2x"])
    @pytest.mark.parametrize("rows", [1, 7, 11, 125])
    def test_their_size_changes_only_rounding(self, name, rows, monkeypatch):
        question, gradients = question_of(name, objective="distance", samples=2)
        width = 3 if name == "l2x" else 1  # numbers of noise for each item
        references, replicates = stacked(gradients), 1_000
        results, calls = [], []
        for size in (10**9, rows * 2 * 6 * width):
            monkeypatch.setattr(moments, "_CHUNK", size)
            source = Recorded(5, replicates)
            results.append(sampled_moments(*question, source, replicates, references))
            assert source.used == replicates
            calls.append(source.calls)
        # A chunk has at most `rows` rows, and is a divisor of a batch of 10 or a multiple of it.
        assert calls == [1, {1: 1000, 7: 200, 11: 100, 125: 9}[rows]]
        for field, in_one_chunk in vars(results[0]).items():
            assert in_one_chunk.shape[0] == BATCHES
            np.testing.assert_allclose(getattr(results[1], field), in_one_chunk, rtol=1e-12, atol=1e-12)

    def test_chunks_have_different_noise(self):
        question, _ = question_of("imle_gumbel")
        first, second = (question.draws(NoiseSource(0), 50, chunk)["noise"] for chunk in (0, 1))
        assert float((first == second).sum()) == 0


class TestNoise:
    def test_equal_seeds_give_equal_results(self, monkeypatch):
        question, gradients = question_of("imle_sog")
        first = sampled_moments(*question, NoiseSource(3), 400, stacked(gradients))
        monkeypatch.setattr(noise_source, "_kept", type(noise_source._kept)())  # drawn again, not taken from the cache
        again = sampled_moments(*question, NoiseSource(3), 400, stacked(gradients))
        other = sampled_moments(*question, NoiseSource(4), 400, stacked(gradients))
        for field, value in vars(first).items():
            np.testing.assert_array_equal(value, getattr(again, field))
        assert not np.array_equal(first.mean, other.mean)

    def test_estimators_with_the_same_noise_share_its_numbers(self):
        source = NoiseSource(3)
        first, _ = question_of("imle_gumbel")
        second, _ = question_of("aimle")
        sog, _ = question_of("imle_sog", kappa=5.0)
        simple_b, _ = question_of("simple_b", kappa=5.0)
        for one, other, name in ((first, second, "noise"), (sog, simple_b, "noise")):
            assert one.method.estimator is not other.method.estimator
            np.testing.assert_array_equal(one.draws(source, 20, 0)[name], other.draws(source, 20, 0)[name])
        count = len(noise_source._kept)
        first.draws(source, 21, 0)
        second.draws(source, 21, 0)
        assert len(noise_source._kept) == count + 1  # drawn once

    def test_noises_of_another_name_or_purpose_are_independent(self):
        simple_f, _ = question_of("simple_f")
        drawn = simple_f.draws(NoiseSource(3), 50, 0)
        again = simple_f.draws(NoiseSource(3, "warm-up"), 50, 0)
        assert not np.any(np.asarray(drawn["z"] == drawn["second"]))
        assert not np.any(np.asarray(drawn["z"] == again["z"]))

    def test_backends_get_the_same_numbers(self):
        question, _ = question_of("imle_sog")
        on_jax = question._replace(ops=ops_module.load("jax:cpu", "float64"))
        first, second = (one.draws(NoiseSource(3), 10, 0)["noise"] for one in (question, on_jax))
        np.testing.assert_array_equal(np.asarray(first), np.asarray(second))

    def test_the_cache_stays_below_its_limit(self, monkeypatch):
        monkeypatch.setattr(noise_source, "_KEPT_BYTES", 10_000)
        monkeypatch.setattr(noise_source, "_kept", type(noise_source._kept)())
        question, _ = question_of("imle_gumbel")
        for chunk in range(20):
            question.draws(NoiseSource(3), 50, chunk)
        assert 0 < sum(array.nbytes for array in noise_source._kept.values()) <= 10_000


class TestState:
    def test_it_is_frozen_after_the_warm_up(self, monkeypatch):
        question, gradients = question_of("aimle", update=0.01)
        frozen = moments.frozen_state(*question, 3)
        assert float(frozen["alpha"][0]) > 0.01  # the warm-up has moved it
        calls = []
        original = moments.gradients

        def watched(problem, method, ops, draws, rows, state, *, raw):
            calls.append((rows, {name: np.unique(np.asarray(value)) for name, value in state.items()}))
            return original(problem, method, ops, draws, rows, state, raw=raw)

        monkeypatch.setattr(moments, "gradients", watched)
        monkeypatch.setattr(moments, "_CHUNK", 200 * 6)
        sampled_moments(*question, NoiseSource(3), 1_000, stacked(gradients))
        measured = [state for rows, state in calls if rows > 1]
        assert len(calls) > len(measured) == 5
        for state in measured:
            for name, value in state.items():
                np.testing.assert_array_equal(value, np.asarray(frozen[name]))

    def test_the_warm_up_has_other_noise_than_the_measurement(self, monkeypatch):
        purposes = []

        class Recording(NoiseSource):
            def draws(self, *args, **more):
                purposes.append(self.purpose)
                return super().draws(*args, **more)

        monkeypatch.setattr(moments, "NoiseSource", Recording)
        question, _ = question_of("aimle")
        assert moments.frozen_state(*question, 3) is not None
        assert set(purposes) == {"warm-up"}
        first, second = (question.draws(NoiseSource(3, purpose), 1, 0)["noise"] for purpose in ("measure", "warm-up"))
        assert not np.any(np.asarray(first == second))

    def test_an_estimator_without_state_has_none(self):
        assert moments.frozen_state(*question_of("simple")[0], 3) is None


class TestErrors:
    @pytest.mark.parametrize("replicates", [0, 100, 250, 1_050])
    def test_replicates_that_do_not_divide_into_batches_are_refused(self, replicates):
        question, gradients = question_of("imle_gumbel")
        with pytest.raises(ValueError, match=f"replicates={replicates}: a multiple of 100, at least 200, is needed"):
            sampled_moments(*question, NoiseSource(0), replicates, stacked(gradients))

    def test_more_items_than_fit_are_refused(self):
        question, gradients = question_of("imle_gumbel", n=513, k=3, objective="distance")
        with pytest.raises(ValueError, match=r"n=513: .* the limit is n=512"):
            sampled_moments(*question, NoiseSource(0), 200, stacked(gradients))

    def test_too_many_outcomes_are_sampled(self):
        assert has_exact(*question_of("rloo")[0][:2])
        assert not has_exact(*question_of("rloo", samples=5)[0][:2])  # 20^5
        assert not has_exact(*question_of("simple", n=30, k=10, objective="distance")[0][:2])
        assert not has_exact(*question_of("imle_gumbel")[0][:2])


def test_an_estimate_that_is_not_finite_is_refused():
    record = Estimator(
        name="sometimes_nan",
        law="conditional_poisson",
        target="conditional_poisson",
        estimate=score_function(lambda ops, theta, z, v, *, k: ops.xp.where(z[0] > 0, ops.xp.nan, theta)),
        draws={"z": SUBSET},
        needs=frozenset({"values"}),
        unbiased_for="nothing",
        source="a test",
    )
    question = question_about(record, n=5, k=2, objective="affine")
    with pytest.raises(ValueError, match="sometimes_nan gave NaN or inf in 10 of 10 estimates"):
        exact_moments(*question, np.ones((1, 5)))
