"""Random numbers for the harness: drawn by numpy from the seed, the same for every backend and estimator.

Estimators that declare the same noise get the same numbers (common random numbers), drawn once.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from estimators import Subset
from estimators.noise import Noise, numpy_draw
from estimators.ops import Array

if TYPE_CHECKING:
    from .moments import Question

_KEPT_BYTES = 400_000_000


class NoiseSource:
    """A reproducible source of noise: a function of the seed, the law of the noise, the chunk and nothing else."""

    _kept: OrderedDict[tuple[object, ...], np.ndarray] = OrderedDict()  # shared: one problem's noise serves all cells

    def __init__(self, seed: int, *path: str) -> None:
        self._path = (seed, *path)

    def spawn(self, name: str) -> NoiseSource:
        """Returns an independent source."""
        seed, *path = self._path
        return NoiseSource(int(seed), *map(str, path), name)

    def draws(self, question: Question, rows: int, chunk: int) -> dict[str, Array]:
        """Returns the raw draws of `question` for the rows of one chunk, on its device; see `draws.raw_draws`."""
        raw = {}
        for name, declared in question.estimator.draws_for(question.k, question.params).items():
            if isinstance(declared, Subset):
                shape, law = (question.samples, rows, question.n), f"uniform:{name}"
            else:
                shape, law = declared.shape(question.samples, rows, question.n), declared.name
            raw[name] = question.ops.asarray(self._numbers(declared, law, shape, question.ops.dtype, chunk))
        return raw

    def _numbers(
        self, declared: Subset | Noise, law: str, shape: tuple[int, ...], dtype: str, chunk: int
    ) -> np.ndarray:
        key = (*self._path, law, shape, dtype, chunk)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        entropy = [zlib.crc32(str(part).encode()) for part in (*self._path, law, chunk)]
        draw = numpy_draw(np.random.default_rng(entropy), dtype)
        if isinstance(declared, Subset):
            numbers = draw("uniform", shape)
        else:
            numbers = declared.transform(np, draw, shape)
        self._kept[key] = numbers
        while sum(array.nbytes for array in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)
        return numbers
