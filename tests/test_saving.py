"""What is saved comes back to the last bit, or is refused in words."""

import functools
import subprocess
import sys
import textwrap
import types
from typing import Any, NamedTuple

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thermojax as tj
from tests.components import POTENTIALS, PROTOCOLS
from thermojax import saving
from thermojax.execution.cpu.memory_order import MemoryOrder

KEY = jax.random.key(5)


class Tilted(tj.AbstractPotential):
    barrier: float = 2.0

    def energy(self, x, control):
        return self.barrier * jnp.sum((x**2 - 1) ** 2) - control * x[0]

    def push(self, x, control):
        return 0 * x


class Pair(NamedTuple):
    one: Any
    other: Any


def log_density(x):
    return -jnp.sum(x**4)


def local():
    class Local(Tilted):
        pass

    return Local()


def same(a, b):
    """Structure, classes, dtypes and bits."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(one) is type(other)
        if isinstance(one, jax.Array) and jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            assert one.dtype == other.dtype
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        if isinstance(one, jax.Array):
            assert one.aval == other.aval
        if eqx.is_array_like(one):
            one, other = np.asarray(one), np.asarray(other)
            assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
        else:
            assert one is other or one == other


def there_and_back(file, thing):
    tj.save(file, thing)
    found = tj.load(file)
    same(thing, found)
    return found


def test_systems_of_all_kinds(tmp_path):
    """Every potential and protocol, schedules in the bath, drives that are functions or methods."""
    named = POTENTIALS | {
        "log density": (tj.LogDensity(log_density),),
        "controlled log density": (Tilted(),),
    }
    potentials = {name: case[0] for name, case in named.items()}
    there_and_back(tmp_path / "potentials.tj", potentials)
    there_and_back(tmp_path / "protocols.tj", PROTOCOLS)
    bath = tj.Bath(tj.Linear(1.0, 2.0, 3.0), friction={"a": jnp.ones(2), "b": jnp.ones(())})
    drives = Tilted().push, jnp.subtract
    ramp = tj.Linear(0.0, 1.0, 3.0)
    systems = [tj.Underdamped(Tilted(), ramp, bath, drive) for drive in drives]
    found = there_and_back(str(tmp_path / "new" / "systems.tj"), systems)
    assert found[0].drive(jnp.ones(2), 0.0).shape == (2,)
    tj.save(tmp_path / "partial.tj", functools.partial(Tilted.push, Tilted(3.0), control=1))
    partial = tj.load(tmp_path / "partial.tj")
    assert partial.func is Tilted.push and partial.keywords == {"control": 1}
    same(partial.args, (Tilted(3.0),))


def test_results_fits_and_chains_go_on_as_they_would_have(tmp_path):
    protocol = tj.PiecewiseLinear.between(0.0, 1.0, 1.0, knots=3)
    system = tj.Overdamped(tj.Harmonic(1.0, control="center"), protocol, tj.Bath())
    how: Any = dict(time_steps=4, batch=4, initial=tj.Equilibrium(jnp.zeros(1)))
    cost = tj.Estimate(jnp.asarray(1.0), jnp.asarray(0.1), jnp.asarray(4))
    history = {"loss": np.arange(2.0), "diverged": np.zeros(2, int)}
    fit = tj.Fit(system, cost, history, {"averaged": cost}, "averaged", "all 2 steps done")
    out = tj.simulate(system, KEY, save=3, **how)
    chain = tj.start(system, KEY, batch=4, initial=how["initial"])
    found = there_and_back(tmp_path / "all.tj", {"fit": fit, "result": out, "chain": chain})
    assert found["fit"].chosen == fit.chosen and found["fit"].stopped == fit.stopped
    assert str(found["result"].mean(found["result"].ledger.work)) == str(out.mean(out.ledger.work))
    on = lambda system, chain: tj.advance(system, chain, dt=0.1, steps=3)
    same(on(system, chain), on(found["fit"].system.replace(protocol=protocol), found["chain"]))


def test_leaves_of_all_kinds(tmp_path):
    there_and_back(
        tmp_path / "x.tj",
        {
            "half": jnp.ones((2, 2), jnp.bfloat16),
            "keys": jax.random.split(jax.random.key(1, impl="rbg"), 3),
            "single": jnp.float32(0.1),
            "weak": jnp.asarray(0.5),
            "empty": np.zeros((0, 3), np.int8),
            "numpy": np.float64(0.1),
            "text": np.array(["a", "bü"]),
            "numbers": [float("nan"), float("-inf"), 2**40, -0.0, True, None, 1 + 2j],
            "tuple": (1, (), [], {}, {3: 4, 1: 5}),
            "pair": Pair(jnp.arange(3), "ü"),
            "optimizer": optax.adam(0.1).init({"a": jnp.ones(2)}),
            "enum": MemoryOrder.COLUMN_MAJOR,
            "types": (jnp.float32, np.int64, tj.BAOAB, jnp.dtype("float32")),
            "shape": jax.ShapeDtypeStruct((2, 3), jnp.float32),
            "function": (jnp.tanh, jax.nn.relu, jax.tree_util.Partial(jnp.add, jnp.ones(2))),
        },
    )
    assert [file.name for file in tmp_path.iterdir()] == ["x.tj"]


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (lambda: tj.LogDensity(lambda x: -jnp.sum(x**2)), r"thing.\w+ is the function .*lambda"),
        (lambda: {"a": [object()]}, r"thing\['a'\]\[0\] is a object: expected arrays"),
        (lambda: local(), "class .*Local that no name leads back to"),
        (lambda: (print,), "of Python's library"),
        (lambda: np.array([{}], object), "dtype object"),
    ],
)
def test_what_no_name_leads_back_to_is_refused(tmp_path, thing, words):
    with pytest.raises(ValueError, match=words):
        tj.save(tmp_path / "x.tj", thing())
    assert not list(tmp_path.iterdir())


def test_traced_and_donated_arrays_and_other_files_are_refused(tmp_path):
    file = tmp_path / "x.tj"
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(lambda x: tj.save(file, x))(1.0)
    gone = jnp.ones(3)
    gone.delete()
    with pytest.raises(ValueError, match=r"thing\[0\] was donated"):
        tj.save(file, [gone])
    with pytest.raises(ValueError, match="expected a path"):
        tj.save({}, file)  # pyright: ignore[reportArgumentType]
    file.write_text("mine")
    with pytest.raises(ValueError, match=r"not written by tj\.save"):
        tj.save(file, 1)
    assert file.read_text() == "mine"


def test_damaged_and_foreign_files_are_refused(tmp_path):
    file = tmp_path / "x.tj"
    tj.save(file, {"a": jnp.arange(3.0), "b": "text"})
    content = file.read_bytes()
    for length in range(1, len(content), 61):
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match="truncated or damaged"):
            tj.load(file)
    for place in range(len(saving.KIND) + 3, len(content), 37):
        damaged = bytearray(content)
        damaged[place] ^= 16
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="truncated or damaged"):
            tj.load(file)
    file.write_bytes(content.replace(saving.KIND + b" 1\n", saving.KIND + b" 2\n"))
    with pytest.raises(ValueError, match="in the format 2 of another thermojax"):
        tj.load(file)
    tj.save(file, 1)  # over what had been one
    checkpoint = tj.Checkpoint(tmp_path / "y.ckpt", interval=0)
    checkpoint.save({"step": 1})
    with pytest.raises(ValueError, match="is a checkpoint"):
        tj.load(checkpoint.file)


def test_double_precision_is_not_cut_in_half_in_silence(tmp_path):
    tj.save(tmp_path / "x.tj", jnp.ones(2))
    with jax.enable_x64(False), pytest.raises(ValueError, match="jax_enable_x64"):
        tj.load(tmp_path / "x.tj")


def test_classes_of_others_are_imported_by_nobody_but_the_user(tmp_path, monkeypatch):
    source = """
        import jax.numpy as jnp, thermojax as tj

        class Mine(tj.AbstractPotential):
            width: float = 1.0

            def energy(self, x, control):
                return jnp.sum(x**2) / self.width
    """
    module = tmp_path / "of_others.py"
    module.write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    import of_others  # pyright: ignore[reportMissingImports]

    file = tmp_path / "x.tj"
    tj.save(file, of_others.Mine(2.0))
    assert float(tj.load(file).width) == 2.0
    monkeypatch.delitem(sys.modules, "of_others")
    with pytest.raises(ValueError, match="Mine of of_others, which is not imported here"):
        tj.load(file)
    assert "of_others" not in sys.modules
    module.write_text(textwrap.dedent(source).replace("width", "breadth"))
    changed = types.ModuleType("of_others")
    monkeypatch.setitem(sys.modules, "of_others", changed)
    exec(module.read_text(), vars(changed))
    with pytest.raises(ValueError, match="Mine has other fields than when it was saved"):
        tj.load(file)
    monkeypatch.delattr(changed, "Mine")
    with pytest.raises(ValueError, match="there is none by now"):
        tj.load(file)


def test_classes_of_a_script(tmp_path):
    script = """
        import sys, jax.numpy as jnp, thermojax as tj

        class Mine(tj.AbstractPotential):
            width: float = 1.0

            def energy(self, x, control):
                return jnp.sum(x**2) / self.width

        tj.save("x.tj", Mine(2.0))
        print(float(tj.load("x.tj").width))
        del Mine
        try:
            tj.load("x.tj")
        except ValueError as error:
            print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "2.0" and "Mine of __main__, and there is none by now" in second


def test_a_folder_and_a_file_of_a_run_are_read_as_before(tmp_path):
    from thermojax.experiment.results.store import Record
    from thermojax.experiment.results.store import save as save_record

    record = Record()
    record.put("a", 1.5)
    save_record(tmp_path / "results.h5", record)
    assert tj.load(tmp_path)["a"] == tj.load(tmp_path / "results.h5")["a"] == 1.5
    with h5py.File(tmp_path / "results.h5") as root:
        assert list(root) == ["a"]
