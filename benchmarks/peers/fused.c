/* The ceiling: BAOAB on a harmonic ramp, Threefry-2x32-20 and Box-Muller in one loop.
 *
 * kT = friction = mass = 1, float32. Noise is a function of (key, coordinate, pair of steps) and
 * both words and both halves of a pair are used. LANES coordinates stay in registers and the
 * first-level cache for the whole run; the compiler vectorizes over them. Work is booked at the
 * grid points, per coordinate.
 *
 * Threefry: Salmon et al., SC'11. Polynomials: S. Moshier, Cephes, logf, sinf, cosf.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef LANES
#define LANES 64
#endif

static inline uint32_t rotate(uint32_t x, int by) { return (x << by) | (x >> (32 - by)); }

#define ROUND(by) (a += b, b = rotate(b, by) ^ a)
#define ODD_ROUNDS (ROUND(13), ROUND(15), ROUND(26), ROUND(6))
#define EVEN_ROUNDS (ROUND(17), ROUND(29), ROUND(16), ROUND(24))

/* ln x of a normal x > 0, to 1e-7. */
static inline float logarithm(float x) {
    int32_t bits, exponent;
    float f, z, y;
    memcpy(&bits, &x, 4);
    exponent = ((bits - 0x3f3504f3) >> 23); /* so that the mantissa lies in sqrt(1/2)..sqrt(2) */
    bits -= exponent << 23;
    memcpy(&f, &bits, 4);
    f -= 1.0f;
    z = f * f;
    y = 7.0376836292e-2f;
    y = y * f - 1.1514610310e-1f;
    y = y * f + 1.1676998740e-1f;
    y = y * f - 1.2420140846e-1f;
    y = y * f + 1.4249322787e-1f;
    y = y * f - 1.6668057665e-1f;
    y = y * f + 2.0000714765e-1f;
    y = y * f - 2.4999993993e-1f;
    y = y * f + 3.3333331174e-1f;
    return (float)exponent * 0.693147181f + (f + z * (y * f - 0.5f));
}

/* Two standard normals of one counter. */
static inline void normals(uint32_t k0, uint32_t k1, uint32_t index, uint32_t pair, float *first,
                           float *second) {
    uint32_t k2 = k0 ^ k1 ^ 0x1BD11BDAu, a = index + k0, b = pair + k1;
    ODD_ROUNDS, a += k1, b += k2 + 1;
    EVEN_ROUNDS, a += k2, b += k0 + 2;
    ODD_ROUNDS, a += k0, b += k1 + 3;
    EVEN_ROUNDS, a += k1, b += k2 + 4;
    ODD_ROUNDS, a += k2, b += k0 + 5;
    float uniform = ((float)(int32_t)(a >> 1) + 0.5f) * 4.656612873e-10f;
    float radius = sqrtf(-2.0f * logarithm(uniform));
    uint32_t quadrant = (b + 0x20000000u) >> 30;
    float t = (float)(int32_t)(b - (quadrant << 30)) * 1.46291808e-9f; /* pi/2 / 2^30 */
    float s = t * t;
    float sine = t + t * s * ((-1.9515295891e-4f * s + 8.3321608736e-3f) * s - 1.6666654611e-1f);
    float even = (2.443315711809948e-5f * s - 1.388731625493765e-3f) * s + 4.166664568298827e-2f;
    float cosine = 1.0f - 0.5f * s + even * s * s;
    float c = quadrant & 1 ? sine : cosine, d = quadrant & 1 ? cosine : sine;
    *first = radius * (quadrant == 1 || quadrant == 2 ? -c : c);
    *second = radius * (quadrant >= 2 ? -d : d);
}

static void run_lanes(float *x, float *p, float *work, uint32_t index, int lanes,
                      const float *held, const float *kicks, long steps, float h, float damping,
                      float spread, uint32_t k0, uint32_t k1) {
    float q[LANES], m[LANES], w[LANES], even[LANES], odd[LANES];
    memcpy(q, x, lanes * sizeof(float));
    memcpy(m, p, lanes * sizeof(float));
    for (int l = 0; l < lanes; l++) w[l] = 0.5f * (held[1] - held[0]) * q[l] * q[l];
    for (long n = 0; n < steps; n++) {
        if (n % 2 == 0)
            for (int l = 0; l < lanes; l++)
                normals(k0, k1, index + l, (uint32_t)(n / 2), &even[l], &odd[l]);
        const float *z = n % 2 ? odd : even;
        float early = 0.5f * h * kicks[n], late = 0.5f * h * kicks[n + 1];
        float jump = 0.5f * (held[n + 2] - held[n + 1]);
        for (int l = 0; l < lanes; l++) {
            float v = m[l] - early * q[l], y = q[l] + 0.5f * h * v;
            v = damping * v + spread * z[l];
            y += 0.5f * h * v;
            w[l] += jump * y * y;
            m[l] = v - late * y;
            q[l] = y;
        }
    }
    memcpy(x, q, lanes * sizeof(float));
    memcpy(p, m, lanes * sizeof(float));
    memcpy(work, w, lanes * sizeof(float));
}

/* x, p: (coordinates,), changed in place; work: (coordinates,); held: (steps + 2,); kicks:
 * (steps + 1,). */
void run(float *x, float *p, float *work, long coordinates, const float *held, const float *kicks,
         long steps, float h, uint32_t k0, uint32_t k1, int threads) {
    float damping = expf(-h), spread = sqrtf(-expm1f(-2.0f * h));
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long first = 0; first < coordinates; first += LANES) {
        long left = coordinates - first;
        run_lanes(x + first, p + first, work + first, (uint32_t)first,
                  left < LANES ? (int)left : LANES, held, kicks, steps, h, damping, spread, k0, k1);
    }
}

/* `count` normals for tests: coordinate i of the pair of steps `pair`. */
void draw(float *first, float *second, long count, uint32_t pair, uint32_t k0, uint32_t k1) {
    for (long i = 0; i < count; i++) normals(k0, k1, (uint32_t)i, pair, &first[i], &second[i]);
}
