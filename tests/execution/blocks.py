"""Runs in blocks of a size that the test chooses."""

from thermojax.sampling.simulate import arranged, run


def simulate_in_blocks(block, system, key, **options):
    """`tj.simulate` in blocks of so many steps; None for as many as it chooses."""
    system, key, start, steps, how, *rest = arranged(system, key, **options)
    return run(system, key, start, steps, how._replace(block=block), *rest)
