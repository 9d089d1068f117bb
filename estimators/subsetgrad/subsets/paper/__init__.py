"""The algorithms of the paper, corrected and in log space, for comparison with the library in results and cost.

Algorithms 1 and 2 are in `sequential`, 5 and 6 in `divided`, 4 in `entropies`. Algorithm 3 is in
`families.simple_as_printed`.
Nothing else should use them. `subsetgrad.subsets` computes the same quantities faster and more accurately: the
logarithms here grow with n and with the logits, and float32 then loses up to 0.5 % of a marginal.

Source: Ahmed, Zeng, Niepert and Van den Broeck 2023 (ICLR; arXiv 2210.01941).

Differences from the paper:

1. All algorithms work on logits: A(θ) = log Σ_{|z|=k} exp(θ·z) takes the place of log P(Σz = k) = A − Σ softplus(θ).
   Marginals and samples are the same.
2. All algorithms work on logarithms, because the sum of exp(θ·z) overflows. A logarithm of an empty sum is masked,
   since the derivative of logaddexp(−∞, −∞) is NaN and would make the gradient of finite logits NaN.
3. Algorithm 1 reads a[·, −1], which the paper does not define. It is 0 here.
4. Algorithm 2 appends z_n first and so returns z reversed. Here z is in the order of the items.
5. Algorithm 4 starts at i = 1 and reads h[i−1, j−1] and h[i−1, j]. As printed it starts at i = k and reads h[i−1, j]
   and h[i−1, j+1], which is not the entropy. `entropies` has both.
6. Algorithms 5 and 6 divide a range at ⌊(l + u)/2⌋. The printed ⌊u/2⌋ lies before l where u < 2l, so the recursion does
   not end.
7. In Algorithm 5 an empty range has the count 0 with probability 1, not 0. Each range computes the probabilities of all
   counts at once; as printed, the algorithm calls itself again for each count m.
8. Algorithm 6 normalises p_m.
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
