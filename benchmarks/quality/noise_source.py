"""Random numbers for measurements, drawn by numpy from the seed and equal for every backend and estimator.

Estimators that declare the same noise get the same numbers (common random numbers), drawn once.
"""

from __future__ import annotations

import zlib
from collections import Counter, OrderedDict

import numpy as np

from subsetgrad import Subset
from subsetgrad.draws import Draws
from subsetgrad.noise import Noise, numpy_draw
from subsetgrad.ops import Array, Ops

_KEPT_BYTES = 300_000_000
_kept: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()  # all cells of one problem share its noise


class NoiseSource:
    """A reproducible source of noise: equal arguments give equal numbers, in every process.

    Args:
      seed: the seed of the problem.
      purpose: sources with different purposes are independent.
    """

    def __init__(self, seed: int, purpose: str = "measure") -> None:
        self.seed = seed
        self.purpose = purpose

    def draws(self, declared: Draws, ops: Ops, *, samples: int, rows: int, n: int, chunk: int) -> dict[str, Array]:
        """Returns the raw draws for the rows of one chunk, on the device; see `subsetgrad.draws.raw_draws`.

        Args:
          declared: the declared draws, see `Estimator.draws_for`.
          ops: the backend.
          samples, rows, n: S, rows of theta, items.
          chunk: index of the chunk. Chunks are independent.
        """
        raw = {}
        count: Counter[str] = Counter()
        for name, declaration in declared.items():
            law = "uniform" if isinstance(declaration, Subset) else declaration.name
            # Draws of one law within an estimator are independent. The first of them is the same for all estimators.
            numbers = self._numbers(declaration, f"{law} {count[law]}", ops.dtype, (samples, rows, n), chunk)
            raw[name] = ops.asarray(numbers)
            count[law] += 1
        return raw

    def _numbers(
        self, declaration: Subset | Noise, law: str, dtype: str, sizes: tuple[int, int, int], chunk: int
    ) -> np.ndarray:
        samples, rows, n = sizes
        shape = (samples, rows, *(() if isinstance(declaration, Subset) else declaration.axes), n)
        key = (self.seed, self.purpose, law, shape, dtype, chunk)
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
        generator = np.random.default_rng([self.seed, chunk, zlib.crc32(f"{self.purpose} {law}".encode())])
        draw = numpy_draw(generator, dtype)
        if isinstance(declaration, Subset):
            numbers: np.ndarray = draw("uniform", shape)
        else:
            numbers = declaration.transform(np, draw, shape)
        numbers.flags.writeable = False  # torch shares their memory, and an estimator must not change another's noise
        _kept[key] = numbers
        while sum(array.nbytes for array in _kept.values()) > _KEPT_BYTES:
            _kept.popitem(last=False)
        return numbers
