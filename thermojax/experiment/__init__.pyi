"""Experiments as files: a config in, results and a report out."""

from .cache import enable_compilation_cache as enable_compilation_cache
from .errors import UserError as UserError
from .store import Record as Record
from .store import load as load
from .study import AbstractStudy as AbstractStudy
