"""Statistics of long chains: autocorrelation, effective samples, convergence, ergodicity.

A namespace: `tj.diagnostics.r_hat(values)`. Values are `(time, chains)` or `(time, chains, ...)`,
equally spaced in time, as the `saved.values` of a `tj.Result` are; `(time,)` is one chain. All
chains must sample one stationary law. For chains too long to keep there is
`tj.diagnostics.Streaming`. Times are counted in samples.

The unit of the values and what they have in common do not matter. Values that differ by no more
than their own rounding tell nothing: the answer is nan, and outside of jit a warning says so.
"""

from .convergence import effective_sample_size as effective_sample_size
from .convergence import r_hat as r_hat
from .correlation import autocorrelation as autocorrelation
from .correlation import autocorrelation_time as autocorrelation_time
from .observers import power as power
from .streaming import Streaming as Streaming
from .streaming import StreamingSummary as StreamingSummary
from .time_averages import Ergodicity as Ergodicity
from .time_averages import ergodicity as ergodicity
