import atexit
import os
import shutil
import tempfile

import jax

jax.config.update("jax_enable_x64", True)

# Programs that runs under test compile are kept apart from the user's, and among all workers.
if "THERMOJAX_CACHE" not in os.environ:
    os.environ["THERMOJAX_CACHE"] = tempfile.mkdtemp(prefix="thermojax-tests-")
    atexit.register(shutil.rmtree, os.environ["THERMOJAX_CACHE"], ignore_errors=True)
