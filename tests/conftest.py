"""How the tests compile, here and in the processes that they start.

Compiling is most of what the tests do, and XLA's optimizations are a quarter of that: the tests go
without them. Two things need them, for they hold only where the compiler treats the last numbers of
a loop like all others: that noise is the same bit for bit in blocks of any size, and what follows
from it. These tests are marked `optimized`. THERMOJAX_TEST_OPTIMIZED=1 compiles as for users and
runs them too; .ci/run does so for the long tests. (--xla_cpu_use_fusion_emitters=false saves as
much again, but with both of them jaxlib 0.10.2 computes a wrong gradient of tj.moments.)
"""

import atexit
import gc
import os
import pathlib
import shutil
import signal
import tempfile

import equinox as eqx
import jax
import pytest

OPTIMIZED = bool(os.environ.get("THERMOJAX_TEST_OPTIMIZED"))
if not OPTIMIZED:
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for other processes
jax.config.update("jax_enable_x64", True)

# Runs of a config set these flags by themselves where JAX has not been used yet. Here it may have
# been, and runs that other processes began are continued: everywhere, they stay XLA's own.
if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = (
        "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1024 "
        "--xla_cpu_prefer_vector_width=256"
    )

# A shell starts what runs in its background with Ctrl-C ignored, and children would inherit that,
# those too that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Programs that runs under test compile are kept apart from the user's, and among all workers.
if "THERMOJAX_CACHE" not in os.environ:
    os.environ["THERMOJAX_CACHE"] = tempfile.mkdtemp(prefix="thermojax-tests-")
    atexit.register(shutil.rmtree, os.environ["THERMOJAX_CACHE"], ignore_errors=True)


PROGRAMS = 20_000
# Pieces of memory that a process holds before it forgets the programs it has compiled. Each takes
# some, Linux allows 65530, and XLA aborts where there are no more.


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_text().count("\n") > PROGRAMS:
        eqx.clear_caches()
        jax.clear_caches()
        gc.collect()


def pytest_collection_modifyitems(items):
    if not OPTIMIZED:
        skip = pytest.mark.skip(reason="needs THERMOJAX_TEST_OPTIMIZED=1")
        for item in items:
            if item.get_closest_marker("optimized"):
                item.add_marker(skip)
