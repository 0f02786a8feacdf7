"""A device that goes from one matrix to another and back."""
