"""What others use a solver for: training, and programs in a box."""
