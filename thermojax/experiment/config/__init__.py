"""A config: read, checked, and built into a study."""
