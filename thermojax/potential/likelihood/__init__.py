"""Likelihoods: -ln p(y|x) as an energy, normalizers kept."""

from .base import AbstractLikelihood as AbstractLikelihood
from .logistic import LogisticRegression as LogisticRegression
