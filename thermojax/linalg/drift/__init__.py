"""A device whose drift is no gradient: its rates, its noise, its motion, what is watched of it."""
