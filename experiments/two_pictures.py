"""Paths and densities: two pictures of one ramp, and one ledger."""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, Gt

import thermojax as tj
from experiments.two_pictures_figures import film, two_pictures
from thermojax.execution import count_steps
from thermojax.experiment.results.store import Record
from thermojax.experiment.run.progress import Progress
from thermojax.experiment.study.base import AbstractStudy
from thermojax.experiment.study.curves import bath_record, schedule_record
from thermojax.experiment.study.evidence import doubts_of_evidence, evidence, is_bayesian
from thermojax.protocol import values_at

ENTRIES = (
    "work",
    "heat",
    "free_energy",
    "equilibrium_free_energy",
    "divergence",
    "entropy_production",
)


def logistic_ramp(
    inputs: list[float], labels: list[float], prior_variance: Annotated[float, Gt(0)]
) -> tj.Interpolation:
    """From the prior N(0, v) of one slope x to its posterior, p(y = 1 | a) = 1/(1 + exp(-a x))."""
    if len(inputs) != len(labels):
        raise ValueError(f"labels has {len(labels)} numbers: expected {len(inputs)}, as inputs")
    prior = tj.Gaussian(jnp.zeros(1), prior_variance)
    likelihood = tj.LogisticRegression(jnp.asarray(inputs)[:, None], jnp.asarray(labels))
    return tj.Interpolation(prior, prior + likelihood)


class TwoPictures(AbstractStudy):
    """One overdamped ramp in one dimension, simulated twice: many paths, and their density.

    The Fokker-Planck equation gives work, heat and both free energies without sampling error; the
    paths give them with error bars, F_eq by Jarzynski's average at every instant and F from the
    entropy of the cloud.
    """

    question = "What does a ramp cost, seen in single paths and in the density?"
    columns = ("paths", "density")
    headline: ClassVar[dict[str, str]] = {
        "work": "work",
        "heat": "heat",
        "free energy F": "free_energy",
        "equilibrium free energy": "equilibrium_free_energy",
        "KL to equilibrium": "divergence",
        "entropy production": "entropy_production",
        "log evidence": "log_evidence",  # of a ramp from prior to posterior, else:
        "free energy difference": "free_energy_change",
        "largest deviation": "deviation",
    }
    figures: ClassVar = {"two_pictures": two_pictures}
    film = film
    sentences: ClassVar = (evidence,)
    doubts: ClassVar = (doubts_of_evidence,)

    def __init__(
        self,
        potential: tj.AbstractPotential,
        protocol: tj.AbstractProtocol,
        bath: tj.Bath,
        dt: Annotated[float, Gt(0)],
        batch: Annotated[int, Ge(100)],  # to tell the errors
        snapshots: Annotated[int, Ge(2)],
        cells: Annotated[int, Gt(0)],
        lower: float | None = None,
        upper: float | None = None,
    ):
        steps = count_steps(protocol.duration, dt, None)
        if steps % (snapshots - 1):
            raise ValueError(
                f"snapshots = {snapshots}: expected one more than a divisor of the {steps} steps"
            )
        self.system = tj.Overdamped(potential, protocol, bath)
        self.solver = tj.FokkerPlanck(lower, upper, cells)
        self.dt, self.batch, self.snapshots = dt, batch, snapshots
        self.bayesian = is_bayesian(self.system)
        schedule = isinstance(bath.temperature, tj.AbstractProtocol)
        self.temperature = None if schedule else float(bath.temperature)

    def run(self, key, progress: Progress) -> Record:
        with progress.phase("density", 1, "solve") as phase:
            density = self.solver.solve(self.system, self.snapshots, dt=self.dt)
            phase.advance(1)
        with progress.phase("paths", self.batch, "paths") as phase:
            out = tj.simulate(self.system, key, dt=self.dt, batch=self.batch, save=self.snapshots)
            paths = tj.ensemble_ledger(self.system, out)
            phase.advance(self.batch)
        results = Record()
        results["paths"] = self.of_paths(paths, density.ledger, out)
        results["density"] = self.of_density(density)
        bath = self.system.bath
        if all(isinstance(x, jax.Array) for x in (bath.temperature, bath.friction)):
            results["bounds"] = self.bounds(density)
        return results

    def bounds(self, density) -> Record:
        """T Sigma >= gamma W2(rho_0, rho_tau)^2 / tau (Aurell et al., J. Stat. Phys. 147, 487
        (2012)), with the laws that the run has had at its two ends."""
        record = Record()
        first, last = (np.asarray(density.density[i], float) for i in (0, -1))
        cost = tj.distances.transport_cost_density(np.asarray(density.x).reshape(-1), first, last)
        duration, friction = (
            float(x) for x in (self.system.protocol.duration, self.system.bath.friction)
        )
        record.put("entropy_production", friction * float(cost) / duration, "kT")
        record.attributes["note"] = (
            "The bound on the entropy production is that of optimal transport between the first "
            "and the last density in the same time; no schedule of any potential takes less."
        )
        return record

    def equilibria(self, density) -> np.ndarray:
        """The equilibrium density of the control at each stored time, `(times, cells)`."""
        protocol, temperature = self.system.protocol, self.system.bath.temperature
        x = jnp.asarray(density.x).reshape(-1, 1)
        energy = lambda control: jax.vmap(lambda y: self.system.potential.energy(y, control))(x)
        levels = jax.vmap(energy)(values_at(protocol, density.ledger.times))
        return np.asarray(jax.nn.softmax(-levels / temperature, axis=1) / density.volume)

    def of_paths(self, ledger: tj.EnsembleLedger, exact: tj.EnsembleLedger, out) -> Record:
        record = Record()
        record["through"] = through(ledger)
        for name in ENTRIES:
            record.put(name, last(getattr(ledger, name)), "kT")
        record.put("total_work", record["work"], "kT")
        found = tj.free_energy.jarzynski(out, system=self.system)
        if self.bayesian:
            record.put("log_evidence", found.log_ratio)
        elif self.temperature is not None:
            record.put("free_energy_change", found.difference(self.temperature), "kT")
        record.put("effective_samples", float(found.effective_samples), "paths")
        record.put("paths_total", self.batch, "paths")
        record.put("diverged", int(out.diverged), "paths")
        pairs = [(getattr(ledger, name), getattr(exact, name)) for name in ENTRIES]
        found = np.concatenate([distances(*pair) for pair in pairs])
        worst, expected = float(np.max(found, initial=0.0)), largest_of(found.size)
        record.put("largest_deviation", worst, "standard errors")
        record.put("comparisons", found.size, "1")
        record.put("expected_deviation", expected, "standard errors")
        record.put(
            "deviation",
            f"{worst:.1f} standard errors, the largest of {found.size} "
            f"({expected:.1f} expected of as many independent ones)",
        )
        return record

    def of_density(self, density) -> Record:
        record = Record()
        record["through"] = through(density.ledger)
        for name in ENTRIES:
            record.put(name, float(getattr(density.ledger, name)[-1]), "kT")
        level = density.ledger.equilibrium_free_energy
        change = float(level[-1] - level[0])
        if self.bayesian:
            record.put("log_evidence", -change)
        elif self.temperature is not None:
            record.put("free_energy_change", change, "kT")
        record["control"] = schedule_record(self.system.protocol)
        if bath := bath_record(self.system):
            record["bath"] = bath
        record.put("x", np.asarray(density.x).reshape(-1), "length", ("cell",))
        record.put("density", np.asarray(density.density), "1/length", ("time", "cell"))
        record.put("equilibrium", self.equilibria(density), "1/length", ("time", "cell"))
        return record


def through(ledger: tj.EnsembleLedger) -> Record:
    record = Record()
    record.put("time", np.asarray(ledger.times), "time", ("time",))
    for name in ENTRIES:
        record.put(name, getattr(ledger, name), "kT", ("time",))
    return record


def last(estimate: tj.Estimate) -> tj.Estimate:
    return tj.Estimate(
        *(np.asarray(x)[-1] for x in (estimate.value, estimate.error, estimate.count))
    )


def distances(estimate: tj.Estimate, exact) -> np.ndarray:
    """The distances in standard errors; instants without error are left out."""
    error = np.asarray(estimate.error)
    off = np.abs(np.asarray(estimate.value) - np.asarray(exact))
    return off[error > 1e-9] / error[error > 1e-9]


def largest_of(count: int) -> float:
    """The median of the largest distance among `count` independent ones, in standard errors."""
    return NormalDist().inv_cdf((1 + 0.5 ** (1 / count)) / 2) if count else 0.0
