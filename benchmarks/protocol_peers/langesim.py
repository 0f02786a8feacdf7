"""langesim_optim (https://github.com/GabrielTellez/langesim_optim): Euler's scheme in torch.

Its own simulator, interpolation and harmonic forces; a force class of ours for the wells, of which
it has none. The start is drawn from the equilibrium, by quantiles.
"""

import json
import math
import sys
import time

import langesim_optim as lib
import numpy as np
import torch
from langesim_optim.interpolator import interpolate


class Well(lib.BaseForce):
    """A force of any energy of (x, control), its control joined as in the library's own forces."""

    def __init__(self, energy, slope, case):
        super().__init__()
        self.energy, self.slope, self.case = energy, slope, case
        self.values = torch.nn.Parameter(torch.tensor(case["start"], dtype=torch.float))

    def control(self, t):
        case = self.case
        ends = case["initial"], case["final"], 0.0, case["duration"]
        return interpolate(t, *ends, self.values, continuous=False)

    def force(self, x, t):
        return -self.slope(x, self.control(t))

    def potential(self, x, t):
        return self.energy(x, self.control(t))


def biased(barrier):
    energy = lambda x, f: barrier * (x**2 - 1) ** 2 - f * x
    slope = lambda x, f: 4 * barrier * x * (x**2 - 1) - f
    return energy, slope


def crossing(k, trap):
    def energy(x, r):
        wells = torch.logaddexp(-k * (x + 1) ** 2 / 2, -k * (x - 1) ** 2 / 2)
        return trap * (x - r) ** 2 / 2 - wells

    return energy, lambda x, r: trap * (x - r) + k * (x - torch.tanh(k * x))


def force_of(case):
    """(the force, its parameters)."""
    ends = case["initial"], case["final"], case["duration"]
    if case["kind"] == "center":
        force = lib.VariableCenterHarmonicForce(*ends, center_list=case["start"], continuous=False)
        return force, force.center_list
    if case["kind"] == "stiffness":
        force = lib.VariableStiffnessHarmonicForce(*ends, k=case["start"], continuous=False)
        return force, force.k
    force = Well(*(biased if case["kind"] == "biased" else crossing)(*case["constants"]), case)
    return force, force.values


def starting_points(force, rng, count):
    """From exp(-U) at the control before the run."""
    line = torch.linspace(-6, 6, 20_001)
    weight = torch.exp(-force.potential(line, torch.tensor(-1.0))).detach().double().numpy()
    upto = np.cumsum(weight) / weight.sum()
    return torch.tensor(np.interp(rng.random(count), upto, line.numpy()), dtype=torch.float)


def trained(case):
    """({paths: values so far}, seconds per step)."""
    force, values = force_of(case)
    steps = case["steps"]
    simulator = lib.Simulator(
        dt=case["duration"] / steps, tot_steps=steps, force=force, compute_work_heat=True
    )
    optimizer = torch.optim.Adam([values], lr=case["rate"])
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 / math.sqrt(1 + step / case["decay"])
    )
    rng, seconds, found = np.random.default_rng(case["seed"]), [], {}
    torch.manual_seed(case["seed"])
    for step in range(max(case["budgets"]) // case["batch"]):
        began = time.perf_counter()
        optimizer.zero_grad()
        simulator(starting_points(force, rng, case["batch"]))
        simulator.w.mean().backward()
        optimizer.step()
        decay.step()
        seconds.append(time.perf_counter() - began)
        if (paths := (step + 1) * case["batch"]) in case["budgets"]:
            found[str(paths)] = values.detach().tolist()
    return found, float(np.median(seconds))


def main():
    cases, found = json.load(sys.stdin), {}
    for case in cases:
        values, seconds = trained(case)
        found[case["name"]] = {"values": values, "seconds": seconds}
    version = f"langesim_optim {lib.__version__}, torch {torch.__version__}"
    json.dump({"version": version, "cases": found}, sys.stdout)


main()
