/* The energies of a sample and the gradient of its scores on a CPU: the mathematics of closed_form.py, in one pass each way.

   Compiled without Python's or torch's headers, called by closed_form_cpu.py. A row's numbers depend on no other row, nor on the
   number of threads. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

/* e^x for x <= 0 (and a little above), to about one unit in the last place, in operations that compilers make vectors of:
   x = n log 2 + r with a whole n, e^r by its series, times 2^n. Below the least normal number it is 0; of NaN it is NaN.
   To add and take off 1.5 times 2^23 (2^52) rounds x / log 2 to n, and leaves n in the low bits of the sum. */

static inline float exp_float(float x) {
    const float round = 12582912.0f;
    float low = x < -87.33f ? -87.33f : x, shifted = low * 1.44269504f + round, n = shifted - round;
    float r = (low - n * 0.693359375f) + n * 2.12194440e-4f;
    float e = 1.0f / 5040;
    e = e * r + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (int32_t)((uint32_t)(bits + 127) << 23);
    float power;
    memcpy(&power, &bits, 4);
    return x < -87.33f ? 0.0f : e * power;
}

static inline double exp_double(double x) {
    const double round = 6755399441055744.0;
    double low = x < -708.39 ? -708.39 : x, shifted = low * 1.4426950408889634 + round, n = shifted - round;
    double r = (low - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double e = 1.0 / 6227020800;
    e = e * r + 1.0 / 479001600;
    e = e * r + 1.0 / 39916800;
    e = e * r + 1.0 / 3628800;
    e = e * r + 1.0 / 362880;
    e = e * r + 1.0 / 40320;
    e = e * r + 1.0 / 5040;
    e = e * r + 1.0 / 720;
    e = e * r + 1.0 / 120;
    e = e * r + 1.0 / 24;
    e = e * r + 1.0 / 6;
    e = e * r + 0.5;
    e = e * r + 1.0;
    e = e * r + 1.0;
    int64_t bits;
    memcpy(&bits, &shifted, 8);
    bits = (int64_t)((uint64_t)(bits + 1023) << 52);
    double power;
    memcpy(&power, &bits, 8);
    return x < -708.39 ? 0.0 : e * power;
}

#define NAME float
#define REAL float
#define EXP exp_float
#define LIBM(name) name##f
#define FLOOR -1.8446742e19f /* -sqrt of the largest number: what stands for -inf where its differences are taken */
#include "closed_form_cpu.h"
#undef NAME
#undef REAL
#undef EXP
#undef LIBM
#undef FLOOR

#define NAME double
#define REAL double
#define EXP exp_double
#define LIBM(name) name
#define FLOOR -1.3407807929942596e154
#include "closed_form_cpu.h"
