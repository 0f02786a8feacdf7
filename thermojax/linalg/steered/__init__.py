"""A device that is steered to its answer, or starts near it."""
