"""The programs that ours is measured against, one per file; each may be missing."""

from .c_loop import CLoop, CThreads
from .diffrax_align import AlignUnsafe, AlignVirtual, virtual_gradient
from .hand_scan import PlainScan, SharedScan, plain, plain_gradient
from .jax_md import JaxMD
from .numba_loop import NumbaLoop, NumbaThreads
from .peer import AbstractPeer, Check
from .torch_loop import TorchLoop

PEERS: tuple[AbstractPeer, ...] = (
    PlainScan(),
    SharedScan(),
    JaxMD(),
    AlignUnsafe(),
    AlignVirtual(),
    TorchLoop(),
    NumbaLoop(),
    NumbaThreads(),
    CLoop(),
    CThreads(),
)

__all__ = [
    "PEERS",
    "AbstractPeer",
    "Check",
    "plain",
    "plain_gradient",
    "virtual_gradient",
]
