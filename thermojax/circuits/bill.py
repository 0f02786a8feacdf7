"""The bill of a computation: joules and seconds, beside their bound and a digital computer."""

from __future__ import annotations

import math

import equinox as eqx

from .._arguments import require_untraced
from .._component import known, positive
from ..estimate import Estimate
from .arguments import known_number
from .units import BOLTZMANN, kelvin


class Bill(eqx.Module):
    r"""The energy that one computation of a device takes from its supplies, and what bounds it.

    A device that is used once in a `period` and idles in between pays for all of the period. What
    the supplies give is work + injected + bias + idle + readout; heat is where it goes, and is
    shown without being added.

    **Arguments:** numbers, energies in joules, each perhaps a `tj.Estimate`:

    - `time`: of the computation, s.
    - `work` of the sources, `injected` by noise sources, `bias` of transistors, `readout` of the
      meters, `heat` given to the surroundings.
    - `idle_power`, W, whether it computes or not; `period`, s, from one computation to the next,
      `time` where left out: the duty cycle is time / period.
    - `bits`, of the answer, and `temperature`, K: k_B T ln 2 for each.
    - `operations` and `joules_per_operation`: a digital computer that does the same. Both are
      assumptions of the caller.

    **Raises:** ValueError for numbers out of range, and for one of the last two alone.
    """

    time: float = eqx.field(static=True)
    work: float | Estimate
    injected: float | Estimate
    bias: float | Estimate
    readout: float | Estimate
    heat: float | Estimate | None
    idle_power: float = eqx.field(static=True)
    period: float = eqx.field(static=True)
    bits: float | None = eqx.field(static=True)
    temperature: float = eqx.field(static=True)
    operations: float | None = eqx.field(static=True)
    joules_per_operation: float | None = eqx.field(static=True)

    def __init__(
        self,
        time: float,
        *,
        work: float | Estimate = 0.0,
        injected: float | Estimate = 0.0,
        bias: float | Estimate = 0.0,
        readout: float | Estimate = 0.0,
        heat: float | Estimate | None = None,
        idle_power: float = 0.0,
        period: float | None = None,
        bits: float | None = None,
        temperature: float = 300.0,
        operations: float | None = None,
        joules_per_operation: float | None = None,
    ):
        self.time = number("time", time, "a positive time in seconds", positive)
        self.work = energy("work", work)
        self.injected, self.bias = energy("injected", injected), energy("bias", bias)
        self.readout = energy("readout", readout)
        self.heat = None if heat is None else energy("heat", heat)
        self.idle_power = number("idle_power", idle_power, "watts, positive or zero", not_negative)
        self.period = self.time if period is None else number("period", period, "seconds", positive)
        if self.period < self.time:
            raise ValueError(
                f"period = {self.period:g} is shorter than one computation, {self.time:g}: "
                "expected the time from one to the next"
            )
        self.bits = None if bits is None else number("bits", bits, "bits, 0 or more", not_negative)
        self.temperature = kelvin(temperature)
        if (operations is None) != (joules_per_operation is None):
            raise ValueError("operations and joules_per_operation: expected both, or neither")
        self.operations = self.joules_per_operation = None
        if operations is not None:
            self.operations = number("operations", operations, "a number of them", not_negative)
            self.joules_per_operation = number(
                "joules_per_operation", joules_per_operation, "a positive energy", positive
            )

    @property
    def idle(self) -> float:
        """The idle power over the whole period, J."""
        return self.idle_power * self.period

    @property
    def duty_cycle(self) -> float:
        """The share of the period in which the device computes, a number up to 1."""
        return self.time / self.period

    @property
    def total(self) -> float:
        """All that the supplies give for one computation, J."""
        return self.idle + sum(map(value_of, (self.work, self.injected, self.bias, self.readout)))

    @property
    def error(self) -> float:
        """The standard error of `total`, J, as far as its members have one."""
        members = (self.work, self.injected, self.bias, self.readout)
        return math.sqrt(sum(error_of(x) ** 2 for x in members))

    @property
    def landauer(self) -> float | None:
        """k_B T ln 2 for each bit of the answer, J; None without `bits`."""
        if self.bits is None:
            return None
        return self.bits * BOLTZMANN * self.temperature * math.log(2)

    @property
    def digital(self) -> float | None:
        """operations times joules per operation, J; None without them."""
        if self.operations is None or self.joules_per_operation is None:
            return None
        return self.operations * self.joules_per_operation

    def rows(self) -> list[tuple[str, str]]:
        """(what, how much) of each line of the bill, as texts."""
        found = [("time of the computation", f"{self.time:.4g} s")]
        for name, title in (
            ("work", "work of the sources"),
            ("injected", "injected noise"),
            ("bias", "bias of transistors"),
            ("readout", "readout"),
        ):
            if value_of(x := getattr(self, name)) or error_of(x):
                found.append((title, joules(x)))
        if self.idle_power:
            words = f"idle, {self.idle_power:.3g} W for {self.period:.4g} s"
            found.append((f"{words} (duty cycle {self.duty_cycle:.3g})", joules(self.idle)))
        found.append(("total", joules(Estimate(self.total, self.error, math.nan))))
        if self.heat is not None:
            found.append(("heat to the surroundings", joules(self.heat)))
        if self.landauer is not None:
            found.append((f"kT ln 2 for {self.bits:.4g} bits", joules(self.landauer)))
        if self.digital is not None:
            words = (
                f"a computer, {self.operations:.4g} operations of {self.joules_per_operation:.3g} J"
            )
            found.append((words, joules(self.digital)))
        return found

    def __str__(self):
        rows = self.rows()
        width = max(len(title) for title, _ in rows)
        return "\n".join(f"{title:<{width}}  {text}" for title, text in rows)


def not_negative(x):
    return (x >= 0) & (x < math.inf)


def number(name: str, value, expected: str, test) -> float:
    """A number that is known."""
    return known_number("tj.circuits.Bill", name, value, expected, test)


def energy(name: str, value):
    """An energy in joules, perhaps with its error."""
    if isinstance(value, Estimate):
        require_untraced("tj.circuits.Bill", **{name: value})
        count = known(value.count)
        return Estimate(
            number(name, value.value, "one energy in joules", math.isfinite),
            number(name, value.error, "an error in joules", lambda x: x >= 0),
            math.nan if count is None else count,
        )
    return number(name, value, "an energy in joules", math.isfinite)


def value_of(x) -> float:
    return float(x.value if isinstance(x, Estimate) else x)


def error_of(x) -> float:
    return float(x.error) if isinstance(x, Estimate) else 0.0


def joules(x) -> str:
    """An energy as text, with its error where it has one."""
    return f"{x} J" if error_of(x) > 0 else f"{value_of(x):.4g} J"
