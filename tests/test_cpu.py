"""The flags for a CPU, in processes of their own, for JAX reads them once."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import thermojax as tj

SET_UP = """
import json, os, sys
import jax, jax.numpy as jnp
import thermojax as tj
from thermojax.experiment.run.device import prepare_cpu

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)
{"own": tj.set_up_cpu, "config": lambda: prepare_cpu(None), "none": int}[sys.argv[1]]()
assert jax.config.jax_num_cpu_devices == 2  # as it was
flags = os.environ.get("XLA_FLAGS", "")
"""
FLAGS = f"{SET_UP}print(json.dumps(flags))"

PROGRAM = f"""{SET_UP}
well = tj.Harmonic(1.0, jnp.zeros(3), control="stiffness")
system = tj.Underdamped(well, tj.Linear(0.5, 2.0, duration=2.0), tj.Bath())
run = jax.jit(lambda key: tj.simulate(system, key, time_steps=40, batch=16))
compiled = run.lower(jax.random.key(0)).compile()
well = tj.Harmonic(1.0, jnp.zeros(64), control="stiffness")
cut = tj.simulate(
    tj.Underdamped(well, tj.Linear(0.5, 2.0, duration=2.0), tj.Bath()),
    jax.random.key(1), time_steps=8, batch=50,
)
functions = compiled.as_text().count("xla_cpu_small_call")
works = compiled(jax.random.key(0)).ledger.work.tolist(), cut.ledger.work.tolist()
print(json.dumps([functions, *works]))
"""


def answer(how, program=PROGRAM, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_"))}
    environment |= {"PYTHONPATH": str(Path(tj.__file__).parents[1]), **variables}
    command = [sys.executable, "-c", program, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_loops_of_small_batches_become_functions_and_numbers_stay():
    (few, *plain), (many, *own) = answer("none"), answer("own")
    assert many > few
    for one, other in zip(own, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


def test_flags_of_the_user_stay():
    assert answer("none", FLAGS) == ""
    own = answer("own", FLAGS)
    # The runs of a config set them by themselves, beside those that the user has set.
    given = "--xla_cpu_enable_fast_min_max=false"
    assert answer("config", FLAGS, XLA_FLAGS=given) == f"{given} {own}"
    given = "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1"
    assert answer("own", FLAGS, XLA_FLAGS=given) == f"{given} --xla_cpu_prefer_vector_width=512"
    given = "--xla_cpu_prefer_vector_width=128"
    flags = answer("own", FLAGS, XLA_FLAGS=given)
    assert flags.startswith(f"{given} --xla_backend_extra_options") and flags.count("width") == 1


def test_too_late_is_named():
    jax.block_until_ready(jax.numpy.zeros(1))
    before = os.environ.get("XLA_FLAGS")
    with pytest.raises(RuntimeError, match=r"call tj\.set_up_cpu\(\) right after"):
        tj.set_up_cpu()
    assert os.environ.get("XLA_FLAGS") == before


FAULTS = """
import resource, sys
import jax, jax.numpy as jnp
import thermojax as tj

tj.set_up_cpu(keep_memory=sys.argv[1] == "keep")
system = tj.Underdamped(tj.Harmonic(1.0), tj.Constant(0.0, duration=0.4), tj.Bath())
state = tj.State(*jax.random.normal(jax.random.key(0), (2, 1_000_000, 1)))
run = lambda: jax.block_until_ready(
    tj.simulate(system, jax.random.key(1), time_steps=4, initial=state)
)
asked = []
for _ in range(8):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run()
    asked.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(asked))
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_that_is_kept_has_its_pages():
    """A run asks the system for some 50 MiB, in pages of 4 KiB, or for nothing."""
    assert answer("keep", FAULTS) < 2**12 < answer("give back", FAULTS)
