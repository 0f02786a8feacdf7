"""Compiled programs kept for the next process, outside of the command."""

import os
import subprocess
import sys

import jax
import pytest

import thermojax as tj

SCRIPT = """
import jax, jax.numpy as jnp, thermojax as tj

jnp.ones(3).block_until_ready()  # JAX has decided by now that there is no cache
print(tj.enable_compilation_cache())
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones(3)).block_until_ready()
print(sum(name.endswith("cache_hits") for name in hits) > 0)
"""


def test_the_next_process_finds_what_the_first_has_compiled(tmp_path):
    cache = tmp_path / "kept"
    environment = os.environ | {"THERMOJAX_CACHE": str(cache)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    for found in ("False", "True"):
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [str(cache), found]
    assert list(cache.glob("*-cache"))


def test_a_folder_that_cannot_be_is_refused_and_off_is_off(tmp_path, monkeypatch):
    before = jax.config.values["jax_compilation_cache_dir"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made or written"):
        tj.enable_compilation_cache(tmp_path / "file" / "folder")
    with pytest.raises(ValueError, match="folder is a int: expected a path"):
        tj.enable_compilation_cache(3)  # pyright: ignore[reportArgumentType]
    monkeypatch.setenv("THERMOJAX_CACHE", "off")
    assert tj.enable_compilation_cache() is None
    assert jax.config.values["jax_compilation_cache_dir"] == before
