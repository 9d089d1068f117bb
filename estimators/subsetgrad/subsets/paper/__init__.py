"""The paper's algorithms as named forms in log space: to be run, timed and compared, not built on.

Algorithms 1 and 2 are in `sequential`, 5 and 6 in `divided`, 4 in `entropies`; 3 is the estimator `simple`.

The library computes the same from products of probabilities after one shift a row (see `subsetgrad.subsets`), without a
logarithm and an exponential an entry, and to full accuracy where the logarithms here grow and lose digits: in float32
at n = 200 and k = 37, with N(0, 1) + 1000 for logits, the largest relative error of a marginal is 0.12 to 0.55 % in the
sequential form, 0.009 to 0.024 % in the divided form, and 2.6e-7 to 3.9e-7 in the library (20 rows, of
`numpy.random.default_rng(0)` to `default_rng(19)`, rounded to float32; beside the library's in float64; torch).

Where all of them depart from print: they work on logits, so that A(θ) = log Σ_{|z|=k} exp(θ·z) takes the place of
log P(Σz = k) = A − Σ softplus(θ), which has the same marginals and the same samples; and in log space, since e_k(exp θ)
overflows. Every logarithm of a sum is masked where the sum is empty: through logaddexp(−∞, −∞) automatic
differentiation sends NaN to finite logits, and the tables are full of empty sums.

Source: Ahmed, Zeng, Niepert and Van den Broeck 2023 (ICLR; arXiv 2210.01941).
"""

from .divided import divided_log_partition as divided_log_partition
from .divided import divided_marginals as divided_marginals
from .divided import divided_sample as divided_sample
from .entropies import entropy_as_in_dvae as entropy_as_in_dvae
from .entropies import entropy_as_printed as entropy_as_printed
from .entropies import sequential_entropy as sequential_entropy
from .sequential import sequential_log_partition as sequential_log_partition
from .sequential import sequential_marginals as sequential_marginals
from .sequential import sequential_sample as sequential_sample
