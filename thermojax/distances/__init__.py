"""Distances, transport costs and divergences: of Gaussians, samples, densities on a grid.

A namespace: `tj.distances.wasserstein(x, y)`. What is called `wasserstein` is the distance W_p, a
length; what is called `transport_cost` is W_p^p, a length^p without a root, smooth where the two
agree: a bound needs it, T Sigma >= gamma W_2^2 / tau, and so does what is minimized. The Sinkhorn
divergence estimates the cost W_2^2; the Kullback-Leibler divergence is in nats.
"""

from .gaussian import kl_gaussian as kl_gaussian
from .gaussian import transport_cost_gaussian as transport_cost_gaussian
from .gaussian import wasserstein_gaussian as wasserstein_gaussian
from .line import transport_cost as transport_cost
from .line import transport_cost_density as transport_cost_density
from .line import wasserstein as wasserstein
from .line import wasserstein_density as wasserstein_density
from .sinkhorn import sinkhorn_divergence as sinkhorn_divergence
from .stein import stein_discrepancy as stein_discrepancy
from .stein import stein_p_value as stein_p_value
