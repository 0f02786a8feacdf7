"""Runs in blocks of a size that the test chooses."""

from thermojax.sampling import prepare_run, run_prepared


def simulate_in_blocks(block, system, key, **options):
    """`tj.simulate` in blocks of so many steps; None for as many as it chooses."""
    return run_prepared(*prepare_run(system, key, **options, block=block))
