"""Random numbers for the harness: drawn by numpy from the seed, the same for every backend and estimator.

Estimators that declare the same noise get the same numbers (common random numbers), drawn once.
"""

from __future__ import annotations

import zlib
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from subsetgrad import Subset
from subsetgrad.noise import Noise, numpy_draw
from subsetgrad.ops import Array

if TYPE_CHECKING:
    from .moments import Question

_KEPT_BYTES = 300_000_000
_kept: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()  # one problem's noise serves all its cells


class NoiseSource:
    """A reproducible source of noise: a function of the seed, the law of the noise, the chunk and nothing else.

    Args:
      seed: of the problem.
      purpose: sources of different purposes are independent.
    """

    def __init__(self, seed: int, purpose: str = "measure") -> None:
        self.seed = seed
        self.purpose = purpose

    def draws(self, question: Question, rows: int, chunk: int) -> dict[str, Array]:
        """Returns the raw draws of `question` for the rows of one chunk, on its device; see `draws.raw_draws`."""
        raw = {}
        seen: Counter[str] = Counter()
        for name, declared in question.estimator.draws_for(question.k, question.params).items():
            law = "uniform" if isinstance(declared, Subset) else declared.name
            # Two draws of one law within an estimator are independent; between estimators the first is the same.
            raw[name] = question.ops.asarray(self._numbers(declared, f"{law} {seen[law]}", question, rows, chunk))
            seen[law] += 1
        return raw

    def _numbers(self, declared: Subset | Noise, law: str, question: Question, rows: int, chunk: int) -> np.ndarray:
        axes = () if isinstance(declared, Subset) else declared.axes
        shape = (question.samples, rows, *axes, question.n)
        key = (self.seed, self.purpose, law, shape, question.ops.dtype, chunk)
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        generator = np.random.default_rng([self.seed, chunk, zlib.crc32(f"{self.purpose} {law}".encode())])
        draw = numpy_draw(generator, question.ops.dtype)
        if isinstance(declared, Subset):
            numbers: np.ndarray = draw("uniform", shape)
        else:
            numbers = declared.transform(np, draw, shape)
        numbers.flags.writeable = False  # torch shares memory: an estimator must not change another's noise
        _kept[key] = numbers
        while sum(array.nbytes for array in _kept.values()) > _KEPT_BYTES:
            _kept.popitem(last=False)
        return numbers
