"""Users of a solver: training, and programs in a box."""
