"""One batch on several devices and in several processes, against one device."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import thermojax as tj

DESCRIPTIONS = {"devices", "spread", "exchanges", "loops", "backward exchanges", "backward loops"}
DESCRIPTIONS |= {"potential loops"}
PROGRAM = Path(__file__).parent / "many_devices.py"


def started(*arguments):
    """The program in a process of its own, without the plugins and devices of this one.

    It is compiled as fast as here: what is exchanged between devices is decided before that.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_"))}
    environment["PYTHONPATH"] = str(Path(tj.__file__).parents[1])
    for name in ("XLA_FLAGS", "JAX_DISABLE_MOST_OPTIMIZATIONS"):
        if name in os.environ:
            environment[name] = os.environ[name]
    command = [sys.executable, str(PROGRAM), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def answer(process):
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
def test_the_same_numbers_on_any_number_of_devices_and_in_two_processes():
    """To rounding: matrix products round differently for slices of a batch. Noise is the same."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    # All at once: most of their time is that of one thread, which compiles.
    alone, together = started(1), started(2)
    both = [started(2, address, i, 2) for i in range(2)]
    one, many = answer(alone), answer(together)
    assert many["devices"] == many["spread"] == 2 and many.keys() == one.keys()
    for name in many.keys() - DESCRIPTIONS:
        np.testing.assert_allclose(many[name], one[name], rtol=1e-11, atol=1e-13, err_msg=name)
    # The compiled programs: a run exchanges nothing at all, its gradient only sums at the end.
    assert many["exchanges"] == [] and many["loops"] == []
    assert many["backward exchanges"] == ["all-reduce"] and many["backward loops"] == []
    assert many["potential loops"] == []
    for report in [answer(process) for process in both]:
        assert report["devices"] == 4
        for name in ("mean", "error", "slope"):
            np.testing.assert_allclose(report[name], one[name], rtol=1e-11, atol=1e-13)


def test_bad_shardings_are_named():
    system = tj.Overdamped(tj.Gaussian(np.zeros(1)), tj.Constant(), tj.Bath())
    run = lambda sharding: tj.simulate(
        system, jax.random.key(0), time_steps=2, batch=3, sharding=sharding
    )
    mesh = tj.batch_sharding().mesh
    with pytest.raises(ValueError, match="sharding is a int: expected a jax"):
        run(2)
    with pytest.raises(ValueError, match="shards the first axis only"):
        run(NamedSharding(mesh, PartitionSpec(None, "batch")))
    with pytest.raises(ValueError, match="devices = 0: expected a positive whole number"):
        tj.batch_sharding(0)
    with pytest.raises(ValueError, match="devices is empty"):
        tj.batch_sharding([])
