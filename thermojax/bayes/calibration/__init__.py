"""When a posterior may be believed: simulated data, ranks, and what the real data say."""

from .calibrate import Calibration as Calibration
from .calibrate import calibrate as calibrate
from .ecdf import ecdf_band as ecdf_band
from .ecdf import ecdf_p_value as ecdf_p_value
from .laws import scalars_needed as scalars_needed
from .pit import pit as pit
