"""The results of a run: numbers on disk, tables, figures and pages."""
