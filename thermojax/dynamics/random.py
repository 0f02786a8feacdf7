"""Gaussian noise as a pure function of counters: no state, no order, no waste.

Threefry-2x32 with 20 rounds (Salmon, Moraes, Dror, Shaw, SC'11), both output words used, then the
Box-Muller transform with a polynomial cosine, both halves of which are used. On a CPU and on a GPU
that is faster than `jax.random.normal`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, UInt32

ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def key_words(key: PRNGKeyArray) -> tuple[UInt32[Array, ""], UInt32[Array, ""]]:
    """Two words from a jax key of any implementation."""
    words = jax.random.bits(key, (2,), jnp.uint32)
    return words[0], words[1]


def threefry(key, counter):
    """Threefry-2x32-20: a keyed bijection of pairs of 32-bit words, elementwise."""
    k0, k1 = key
    schedule = (k0, k1, k0 ^ k1 ^ np.uint32(0x1BD11BDA))
    x0, x1 = counter[0] + k0, counter[1] + k1
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = (x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation))
            x1 = x1 ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def polar(words, index, pair, dtype):
    """Radius and angle of a Box-Muller pair: the angle in turns of 2^-32, a uint32."""
    shape = jnp.broadcast_shapes(jnp.shape(index), jnp.shape(pair))
    a, b = threefry(words, (jnp.broadcast_to(index, shape), jnp.broadcast_to(pair, shape)))
    if dtype == jnp.float64:
        return jnp.sqrt(-2 * jnp.log((a.astype(jnp.float64) + 0.5) * 2.0**-32)), b
    # A signed conversion is one instruction where an unsigned one is several; 31 bits remain.
    whole = (a >> np.uint32(1)).astype(jnp.int32).astype(jnp.float32)
    return jnp.sqrt(-2 * jnp.log((whole + np.float32(0.5)) * np.float32(2.0**-31))), b


def normal(words, index, step, dtype=jnp.float32):
    """Standard normals, a pure function of (words, index, step), elementwise in all of them.

    The steps 2j and 2j + 1 are the two halves of one Box-Muller pair: radius times cosine, and the
    same radius times sine.

    **Arguments:** `words`, two uint32 from `key_words`; `index` and `step`, uint32 of shapes that
    broadcast; `dtype`: float32, or float64 for noise of that resolution (slower).
    """
    radius, angle = polar(words, index, step >> np.uint32(1), dtype)
    cosine, sine = circle(angle, dtype)
    return radius * jnp.where((step & np.uint32(1)) == 1, sine, cosine)


def both_normals(words, index, pair, dtype=jnp.float32):
    """`normal` of the steps 2 pair and 2 pair + 1, for half of the work of two."""
    radius, angle = polar(words, index, pair, dtype)
    cosine, sine = circle(angle, dtype)
    return radius * cosine, radius * sine


def normal_pair(words, index, pair, dtype=jnp.float32):
    """`both_normals` as real and imaginary part of one number.

    XLA's CPU backend gives every loop a single output, and would run Threefry once for each of two
    arrays. A complex number is one output.
    """
    return jax.lax.complex(*both_normals(words, index, pair, dtype))


def circle(b, dtype=jnp.float32):
    """Cosine and sine of 2 pi b / 2^32, b a uint32; float32 to 1e-7, by polynomials on +-pi/4.

    Both come from the same two polynomials, changed over and turned about by the quadrant.
    Coefficients (minimax): S. Moshier, Cephes, sinf and cosf.
    """
    if dtype == jnp.float64:
        angle = b.astype(jnp.float64) * (np.pi * 2.0**-31)
        return jnp.cos(angle), jnp.sin(angle)
    shifted = b + np.uint32(0x20000000)
    quadrant = shifted >> np.uint32(30)
    offset = (shifted & np.uint32(0x3FFFFFFF)).astype(jnp.int32) - np.int32(0x20000000)
    t = offset.astype(jnp.float32) * np.float32(0.5 * np.pi / 2**30)
    s = t * t
    odd = np.float32(-1.9515295891e-4) * s + np.float32(8.3321608736e-3)
    odd = t + t * s * (odd * s + np.float32(-1.6666654611e-1))
    even = np.float32(2.443315711809948e-5) * s + np.float32(-1.388731625493765e-3)
    even = even * s + np.float32(4.166664568298827e-2)
    even = np.float32(1) - np.float32(0.5) * s + even * s * s
    turned = (quadrant & np.uint32(1)) == 1
    cosine, sine = jnp.where(turned, odd, even), jnp.where(turned, even, odd)
    # Quadrants 0 to 3: cos, -sin, -cos, sin and sin, cos, -sin, -cos.
    left, below = (quadrant == 1) | (quadrant == 2), quadrant >= 2
    return jnp.where(left, -cosine, cosine), jnp.where(below, -sine, sine)
