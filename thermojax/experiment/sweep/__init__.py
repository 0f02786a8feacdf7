"""Many runs: the points of a grid, and what they say side by side."""
