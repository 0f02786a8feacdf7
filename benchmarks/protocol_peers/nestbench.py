"""The jax-md example of NESTbench25 (https://github.com/protocol-benchmarks/NESTbench25).

`utils.py` of its folder trap_overdamped/jax-code, which must be on the path, with its optimizer and
its periodic box; only the dragged trap. It drags from 5, which is moved to where the case begins.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import jax_md
import numpy as np
import optax
import utils
from jax_md import space

BOX, EQUILIBRATION, SHIFT = 20.0, 100, 5.0


def trained(case, gradient):
    """({paths: values so far}, seconds per step)."""
    rate = lambda step: case["rate"] / jnp.sqrt(1 + step / case["decay"])
    optimizer = optax.adam(rate)
    values = jnp.asarray(case["start"]) + SHIFT
    state = optimizer.init(values)
    key, seconds, found = jax.random.PRNGKey(case["seed"]), [], {}
    for step in range(max(case["budgets"]) // case["batch"]):
        began = time.perf_counter()
        key, now = jax.random.split(key)
        slope, _ = gradient(values, now)
        change, state = optimizer.update(slope, state)
        values = jax.block_until_ready(optax.apply_updates(values, change))
        seconds.append(time.perf_counter() - began)
        if (paths := (step + 1) * case["batch"]) in case["budgets"]:
            found[str(paths)] = (np.asarray(values) - SHIFT).tolist()
    return found, float(np.median(seconds))


def main():
    found = {}
    for case in json.load(sys.stdin):
        _, shift = space.periodic(BOX)
        ends = case["initial"] + SHIFT, case["final"] + SHIFT
        gradient = utils.estimate_gradient(
            case["batch"],
            utils.Vspring(BOX, 1.0),
            ends[0],
            *ends,
            EQUILIBRATION,
            shift,
            case["steps"] + 1,
            case["duration"] / case["steps"],
            1.0,
        )
        values, seconds = trained(case, gradient)
        found[case["name"]] = {"values": values, "seconds": seconds}
    version = f"jax-md {getattr(jax_md, '__version__', '')}, jax {jax.__version__}"
    json.dump({"version": version, "cases": found}, sys.stdout)


main()
