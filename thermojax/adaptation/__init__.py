"""Chains that choose their own step, masses and friction."""

from .tune import Tuned as Tuned
from .tune import TuningReport as TuningReport
from .tune import tune as tune
