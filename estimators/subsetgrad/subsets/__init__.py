"""The exact k-subset distribution p(z) ∝ exp(θ·z) on {z ∈ {0,1}^n : Σz = k} (the conditional Poisson law).

It is an exponential family with log-partition A(θ): marginals μ = ∇A, covariance Σ = ∇²A, entropy H = A − θ·μ. Every
function takes `theta` of shape `[..., n]`, batched over the leading axes, and a static `k` with 0 <= k <= n. All are
differentiable in forward and reverse mode, apart from `sample`. A logit of -inf means "never chosen". A row with a NaN,
a +inf or fewer than k finite logits gives NaN; `check` raises an error for such a row where values can be read.

Source: Ahmed et al. 2023 (SIMPLE), Theorem 1 and Propositions 1 to 3.

Differences from the paper (`subsets.paper` has its algorithms):

1. A(θ) = log Σ_z exp(θ·z) takes the place of log P(Σz = k) = A(θ) − Σ softplus(θ). Marginals and samples are the same.
2. A product tree over groups of items (`product_tree`) takes the place of the recursion over items in Algorithms 1
   and 2. Its depth is O(log n). The idea is that of Algorithms 5 and 6 in Appendix B.
3. The computation uses plain probabilities after one shift of each row (`tilting`), not logarithms.
4. The entropy is H = A − θ·μ, arranged so that nothing cancels. Algorithm 4 is not used; its printed indices are wrong.
5. `covariance_product` is computed directly, not by differentiating the marginals.
6. Marginals, products and samples of at most 256 subsets come from a list of all subsets (`few`).
"""

from .checks import check as check
from .distribution import entropy as entropy
from .distribution import kl_to_uniform as kl_to_uniform
from .distribution import log_partition as log_partition
from .distribution import log_prob as log_prob
from .enumeration import enumerate as enumerate
from .moments import covariance_product as covariance_product
from .moments import marginals as marginals
from .moments import second_order_inclusions as second_order_inclusions
from .sampling import sample as sample
