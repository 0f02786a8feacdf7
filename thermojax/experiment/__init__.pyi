"""Experiments as files: a config in, results and a report out."""

from .errors import UserError as UserError
from .results.store import Record as Record
from .results.store import load as load
from .study.base import AbstractStudy as AbstractStudy
