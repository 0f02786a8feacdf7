"""Studies, which a config names at its top: the general one, and parts to make others of."""
