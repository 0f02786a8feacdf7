"""Peers: diffrax's ALIGN with either Brownian path, and its reverse mode with the virtual one."""

from __future__ import annotations

import abc

import diffrax as dfx
import jax
import jax.numpy as jnp

from ..cases import KNOTS, STEP, Case
from ..race import Program
from .peer import FIXED_STIFFNESS, AbstractPeer, Outcome


class AbstractAlign(AbstractPeer):
    """ALIGN, the batch inside the state, in a well of fixed stiffness: its force knows no time."""

    packages = (("diffrax", "diffrax"),)
    drives = False

    @abc.abstractmethod
    def path(self, case: Case, shape, key) -> dfx.AbstractBrownianPath:
        """Increments with space-time Levy area over the whole run."""

    def build(self, case, steps, seed=0):
        def run(state, key):
            x, v = state.position, state.momentum
            shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
            drift = dfx.UnderdampedLangevinDriftTerm(1.0, 1.0, lambda x, _: FIXED_STIFFNESS * x)
            noise = dfx.UnderdampedLangevinDiffusionTerm(1.0, 1.0, self.path(case, shape, key))
            solution = dfx.diffeqsolve(
                dfx.MultiTerm(drift, noise),
                dfx.ALIGN(taylor_threshold=0.1),
                0.0,
                steps * STEP,
                STEP,
                (x, v),
                saveat=dfx.SaveAt(t1=True),
                adjoint=dfx.ForwardMode(),  # no reverse mode asked for: the fastest loop
                max_steps=steps + 1,
            )
            assert solution.ys is not None
            return tuple(leaf[0] for leaf in solution.ys)

        _, state, key = case.inputs(jax.random.key(seed))
        program = Program.build(run, (state, key))
        return lambda: Outcome(*program(), work=None)


class AlignUnsafe(AbstractAlign):
    name = "diffrax ALIGN, UnsafeBrownianPath"
    least, least_wide, least_single = 5.0, 3.0, 5.0
    share = 4

    def path(self, case, shape, key):
        return dfx.UnsafeBrownianPath(shape, key, levy_area=dfx.SpaceTimeLevyArea)


class AlignVirtual(AbstractAlign):
    """The tree of the whole duration, so that its depth is that of the whole run."""

    name = "diffrax ALIGN, VirtualBrownianTree"
    least, least_wide, least_single = 50.0, 50.0, 50.0
    share = 40

    def path(self, case, shape, key):
        end = case.steps * STEP
        return dfx.VirtualBrownianTree(
            0.0, end, 0.5 * STEP, shape, key, levy_area=dfx.SpaceTimeLevyArea
        )


def virtual_gradient(case: Case, steps: int):
    """f(values, state, key) -> gradient of the mean work, through the first `steps` steps.

    ALIGN's force knows no time, so the ramp goes through diffrax's general terms: Heun's method
    (order 1 for additive noise, as cheap as a second-order drift gets), the work as a third
    coordinate, dW = k'(t) <x^2> / 2 dt with the end jumps added, VirtualBrownianTree without Levy
    area, reverse mode by the default RecursiveCheckpointAdjoint.
    """
    end = case.steps * STEP

    def mean_work(values, state, key):
        knots = jnp.linspace(0, end, KNOTS, dtype=values.dtype)
        slopes = jnp.diff(values) / (knots[1] - knots[0])
        x, p = state.position, state.momentum
        shape = jax.ShapeDtypeStruct(x.shape, x.dtype)

        def drift(t, y, _):
            x, p, _ = y
            stiffness = jnp.interp(t, knots, values)
            place = jnp.clip((t / end * (KNOTS - 1)).astype(int), 0, KNOTS - 2)
            power = 0.5 * slopes[place] * jnp.sum(x**2, axis=-1)
            return p, -stiffness * x - p, power

        class Kicks(dfx.ControlTerm):
            """sqrt(2) dW on the momentum alone."""

            def prod(self, vf, control):
                return jnp.zeros_like(x), vf * control, jnp.zeros(len(x), x.dtype)

        tree = dfx.VirtualBrownianTree(0.0, end, 0.5 * STEP, shape, key)
        noise = Kicks(lambda t, y, _: jnp.asarray(2.0**0.5, x.dtype), tree)
        squares = 0.5 * jnp.sum(x**2, axis=-1)
        solution = dfx.diffeqsolve(
            dfx.MultiTerm(dfx.ODETerm(drift), noise),
            dfx.Heun(),
            0.0,
            steps * STEP,
            STEP,
            (x, p, (values[0] - case.ends[0]) * squares),
            saveat=dfx.SaveAt(t1=True),
            max_steps=steps + 1,
        )
        assert solution.ys is not None
        x, _, work = (leaf[0] for leaf in solution.ys)
        last = jnp.interp(steps * STEP, knots, values)
        return jnp.mean(work + (case.ends[1] - last) * 0.5 * jnp.sum(x**2, axis=-1))

    return jax.grad(mean_work)
