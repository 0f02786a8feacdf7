"""What a config names at its top: the general study, and what studies are made of."""
