"""How the tests compile, here and in the processes that they start.

Compiling is most of what the tests do, and XLA's optimizations, its newer way to emit fused loops
and the lines of Python that it keeps are three fifths of that: the tests go without them. Some
need them and are marked `optimized`. Two things hold only where the compiler treats the last
numbers of a loop like all others: that noise is the same bit for bit in blocks of any size, and
what follows from it. And where chaos makes another run of every change of the last digit, what has
been measured of one program is not promised of another. THERMOJAX_TEST_OPTIMIZED=1 compiles as for
users and runs them too; .ci/run does so for these alone.
"""

import ctypes
import gc
import itertools
import os
import pathlib
import platform
import resource
import signal
import time
import zlib

import jax
import pytest

OPTIMIZED = bool(os.environ.get("THERMOJAX_TEST_OPTIMIZED"))
# Runs of a config set the first two by themselves where JAX has not been used yet. Here it may have
# been, and runs that other processes began are continued: everywhere, they stay XLA's own.
FLAGS = (
    "--xla_backend_extra_options=xla_cpu_small_while_loop_byte_threshold=1024 "
    "--xla_cpu_prefer_vector_width=256"
)
if not OPTIMIZED:
    jax.config.update("jax_disable_most_optimizations", True)
    os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # for other processes
    jax.config.update("jax_traceback_in_locations_limit", 0)  # nobody reads these programs
    # Both cores are busy: a program cut into pieces for more threads is only more to compile.
    FLAGS += " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    # Without the checks that diffrax compiles into its programs, of arguments that thermojax has
    # checked: they call Python, and JAX keeps no program that does.
    os.environ.setdefault("EQX_ON_ERROR", "off")
jax.config.update("jax_enable_x64", True)

os.environ.setdefault("XLA_FLAGS", FLAGS)

# A shell starts what runs in its background with Ctrl-C ignored, and children would inherit that,
# those too that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(100_000, 20, 20)  # a tenth of tracing is the collection of garbage

WEEK = 7 * 24 * 3600.0


def pytest_configure(config):
    """Keep compiled programs on disk, for the other worker, the next module and the next run.

    This is JAX's own cache, whose keys hold the versions, the flags and the machine. What runs
    under test compile in processes of their own is kept beside it, and apart from the user's. What
    was compiled a week ago makes room.
    """
    kept = getattr(config, "cache", None)
    if kept is None:  # -p no:cacheprovider
        os.environ.setdefault("THERMOJAX_CACHE", "off")
        return
    folders = kept.mkdir("programs"), kept.mkdir("programs_of_runs")
    if not hasattr(config, "workerinput"):
        for file in itertools.chain(*(folder.iterdir() for folder in folders)):
            if time.time() - file.stat().st_mtime > WEEK:
                file.unlink(missing_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(folders[0]))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    os.environ.setdefault("THERMOJAX_CACHE", str(folders[1]))


MEMORY = 1.5e9  # bytes of a worker at which it forgets its programs


def forget_programs():
    """Drop what is compiled, a megabyte for each program, and give its memory back."""
    import equinox as eqx  # here, because it reads EQX_ON_ERROR when it is imported

    eqx.clear_caches()
    jax.clear_caches()
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture(autouse=True, scope="module")
def few_programs():
    yield
    forget_programs()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Long modules forget in between: the rest of the module reads from the disk."""
    pages = pathlib.Path("/proc/self/statm")
    if pages.exists() and int(pages.read_text().split()[1]) * resource.getpagesize() > MEMORY:
        forget_programs()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Halves of the list, and who is through takes from the other: modules stay whole, mostly."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def pytest_collection_modifyitems(config, items):
    # THERMOJAX_TEST_PART=0/2: one half of the tests, by their names; 1/2 is the other one.
    if part := os.environ.get("THERMOJAX_TEST_PART"):
        which, parts = map(int, part.split("/"))
        mine = [item for item in items if zlib.crc32(item.nodeid.encode()) % parts == which]
        config.hook.pytest_deselected(items=[item for item in items if item not in set(mine)])
        items[:] = mine
    if not OPTIMIZED:
        skip = pytest.mark.skip(reason="needs THERMOJAX_TEST_OPTIMIZED=1")
        for item in items:
            if item.get_closest_marker("optimized"):
                item.add_marker(skip)
