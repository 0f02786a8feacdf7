"""JAX divides a CPU into devices before its first use only, as `devices: all` asks for.

Which command of a test comes first would otherwise decide about the device of all later ones.
"""

import jax

jax.devices()
