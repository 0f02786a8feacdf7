"""Experiments as files: a config in, results and a report out."""

from .._lazy import attach

attach(__name__)
