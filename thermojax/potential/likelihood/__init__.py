"""Likelihoods: -ln p(y|x) as an energy, normalizers kept."""

from .base import AbstractLikelihood as AbstractLikelihood
from .gaussian import GaussianLikelihood as GaussianLikelihood
from .linear import LinearRegression as LinearRegression
from .logistic import LogisticRegression as LogisticRegression
from .network_classification import NetworkClassification as NetworkClassification
from .network_regression import NetworkRegression as NetworkRegression
from .poisson import PoissonRegression as PoissonRegression
from .random_effects import RandomEffects as RandomEffects
from .softmax import SoftmaxRegression as SoftmaxRegression
