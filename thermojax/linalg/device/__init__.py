"""A device for a symmetric matrix: couplings, bath, motion, answer and bill."""
