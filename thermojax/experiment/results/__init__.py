"""What a run leaves: numbers on disk, tables, figures and pages."""
