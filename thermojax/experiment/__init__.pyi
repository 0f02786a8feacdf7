"""Experiments as files: a config in, results and a report out."""

from .errors import UserError as UserError
from .store import Record as Record
from .store import load as load
from .store import save as save
from .study import AbstractStudy as AbstractStudy
