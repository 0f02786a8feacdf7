"""Peer: PyTorch, eager, one step per turn of a Python loop."""

from __future__ import annotations

import math

from ..cases import STEP
from ..report import cores
from .peer import AbstractPeer, Outcome, starts


class TorchLoop(AbstractPeer):
    """BAOAB in place on tensors, `normal_` for the noise, the force written out; books the work."""

    name = "torch eager loop"
    packages = (("torch", "torch"),)
    least, least_wide, least_single = 3.0, 3.0, 3.0
    share = 4

    def build(self, case, steps, seed=0):
        import torch

        torch.set_num_threads(cores())
        x0, p0 = (torch.from_numpy(leaf) for leaf in starts(case, seed))
        held, kicks = (part.tolist() for part in case.controls())
        damping, spread = math.exp(-STEP), math.sqrt(-math.expm1(-2 * STEP))
        generator = torch.Generator().manual_seed(seed)

        def run():
            with torch.inference_mode():
                x, p, noise = x0.clone(), p0.clone(), torch.empty_like(p0)
                work = (x * x).sum(-1) * (0.5 * (held[1] - held[0]))
                for n in range(steps):
                    p.add_(x, alpha=-0.5 * STEP * kicks[n])
                    x.add_(p, alpha=0.5 * STEP)
                    noise.normal_(generator=generator)
                    p.mul_(damping).add_(noise, alpha=spread)
                    x.add_(p, alpha=0.5 * STEP)
                    work.add_((x * x).sum(-1), alpha=0.5 * (held[n + 2] - held[n + 1]))
                    p.add_(x, alpha=-0.5 * STEP * kicks[n + 1])
                return Outcome(x.numpy(), p.numpy(), work.numpy())

        return run
