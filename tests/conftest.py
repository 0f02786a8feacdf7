"""What has to be set before JAX computes anything, here and in the processes that tests start.

Compiling is most of what the tests do, and XLA's optimizations are half of that: the tests go without
them. THERMOJAX_TEST_OPTIMIZED=1 compiles as for users, which .ci/run does for the engine.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

QUICK = "--xla_cpu_use_fusion_emitters=false"

if not os.environ.get("THERMOJAX_TEST_OPTIMIZED"):
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"
    if "XLA_FLAGS" not in os.environ:
        # XLA ends a process that has a flag it does not know: another process tries.
        trial = [sys.executable, "-c", "import jax; jax.devices()"]
        known = subprocess.run(trial, env={**os.environ, "XLA_FLAGS": QUICK}, capture_output=True)
        os.environ["XLA_FLAGS"] = QUICK if known.returncode == 0 else ""

# Programs that runs under test compile are kept apart from the user's, and among all workers.
if "THERMOJAX_CACHE" not in os.environ:
    os.environ["THERMOJAX_CACHE"] = tempfile.mkdtemp(prefix="thermojax-tests-")
    atexit.register(shutil.rmtree, os.environ["THERMOJAX_CACHE"], ignore_errors=True)

import jax  # noqa: E402  # reads the variables above

jax.config.update("jax_enable_x64", True)
