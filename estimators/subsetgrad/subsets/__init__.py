"""The exact k-subset distribution p(z) ∝ exp(θ·z) on {z ∈ {0,1}^n : Σz = k} (the conditional Poisson law).

It is an exponential family with log-partition A(θ): marginals μ = ∇A, covariance Σ = ∇²A, entropy H = A − θ·μ. Every
function takes `theta` of shape `[..., n]`, batched over the leading axes, and a static `k` with 0 <= k <= n; all are
differentiable in both modes. A logit of -inf means "never chosen". A row with a NaN, a +inf or fewer than k finite
logits yields NaN; `check` turns such a row into an error where values can be looked at.

Source: Ahmed et al. 2023 (SIMPLE), Theorem 1 and Propositions 1 to 3; computed in plain arithmetic on tilted logits
(see `tilting` and `product_tree`), moments and samples of few subsets by the weights of all (see `few`).
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
