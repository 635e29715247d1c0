/* The energies of a sample and the gradient of its scores on a CPU: the mathematics of closed_form.py, in one pass each way.

   Compiled without Python's or torch's headers, called by closed_form_cpu.py. A row's numbers depend on no other row, nor on the
   number of threads. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One form for each kind of processor, of which the machine's is taken. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
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

/* The families' formulas of one sample, as they stand in the families' own files, in double whatever the scores are. */

typedef struct {
    double gap, plain, missing, hit, score, competitors, norm; /* hit: p_y */
} energies;

typedef struct {
    double loss, gap, score, competitors, hardest, norm;
} slopes;

static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double sigmoid(double x) { return (x < 0 ? exp(x) : 1) / (1 + exp(-fabs(x))); }

static energies energies_of(double gap, double score, double competitors, double norm) {
    double e = exp(-fabs(gap)), one = 1 / (1 + e), other = e / (1 + e);
    return (energies){gap, (gap < 0 ? -gap : 0) + log1p(e), gap < 0 ? one : other, gap < 0 ? other : one, score, competitors, norm};
}

static slopes cross_entropy(const energies *e, const double *knobs) {
    (void)knobs;
    return (slopes){.loss = e->plain, .gap = -e->missing};
}

static slopes gds(const energies *e, const double *knobs) {
    double lam = knobs[0], tau = knobs[1], m = exp(-e->competitors), top = 1 / (1 + m); /* N >= 0, the hardest at 0 */
    double ratio = lam * (log1p(m) - softplus(e->gap)) / tau, r = exp(-fabs(ratio)), pull = lam * (ratio < 0 ? r : 1) / (1 + r);
    return (slopes){
        .loss = e->plain + tau * ((ratio > 0 ? ratio : 0) + log1p(r)),
        .score = -e->missing - pull * e->hit,
        .competitors = e->missing - pull * e->missing + pull * top,
        .hardest = pull * m * top,
    };
}

static slopes gradient_decay(const energies *e, const double *knobs) {
    double log_beta = log(knobs[0]), ahead = e->gap + log_beta;
    return (slopes){.loss = ahead < 0 ? softplus(ahead) - e->gap : softplus(-ahead) + log_beta, .gap = -sigmoid(-ahead)};
}

static slopes focal(const energies *e, const double *knobs) {
    double gamma = knobs[0], weight = exp(-gamma * softplus(e->gap));
    return (slopes){.loss = weight * e->plain, .gap = -weight * (e->missing + gamma * e->hit * e->plain)};
}

static slopes gce(const energies *e, const double *knobs) {
    double q = knobs[0] < 1e-30 ? 1e-30 : knobs[0], log_power = -q * e->plain;
    return (slopes){.loss = -expm1(log_power) / q, .gap = -exp(log_power) * e->missing};
}

static slopes truncated_ce(const energies *e, const double *knobs) {
    double bound = -log(knobs[0]);
    int beyond = e->plain > bound;
    return (slopes){.loss = beyond ? bound : e->plain, .gap = beyond ? 0 : -e->missing};
}

static slopes lm_softmax(const energies *e, const double *knobs) { return (slopes){.loss = -e->gap / knobs[0], .gap = -1 / knobs[0]}; }

static slopes gm_softmax(const energies *e, const double *knobs) {
    double alpha1 = knobs[0], alpha2 = knobs[1], beta1 = knobs[2], beta2 = knobs[3], s = knobs[4], c = e->score;
    double gap = e->gap + s * ((alpha2 - 1) * c + beta2), missing = sigmoid(-gap);
    double ahead = s * ((alpha2 - alpha1) * c + (beta2 - beta1)) + softplus(-gap);
    double behind = -e->gap - s * ((alpha1 - 1) * c + beta1) + softplus(gap);
    return (slopes){.loss = gap > 0 ? ahead : behind, .score = s * (alpha2 - alpha1 - alpha2 * missing), .competitors = missing};
}

/* psi and its slope, as angular_margin.py has them. */
static void angular_margin(double c, double m1, double m2, int beyond_pi, double least_sine, double *psi, double *slope) {
    const double pi = 3.14159265358979323846;
    int acute = c >= 0;
    double size = fabs(c), sine = sqrt(fmax((1 - c) * (1 + c), 0)), alpha = 2 * atan2(sqrt(fmax(1 - size, 0)), sqrt(1 + size));
    double whole = rint(m1), wider = acute ? (m1 - 1) * alpha : (m1 - whole) * pi - (m1 - 1) * alpha;
    double cos_e = cos(m2) * cos(wider) - sin(m2) * sin(wider), sin_e = sin(m2) * cos(wider) + cos(m2) * sin(wider);
    double half_turns = floor(acute ? (m2 + m1 * alpha) / pi : m1 + (m2 - m1 * alpha) / pi);
    double k = beyond_pi ? fmax(fmin(half_turns, ceil(m1 + m2 / pi) - 1), 0) : 0, turn = acute ? k : k + whole - 1;
    double sign = turn - 2 * floor(turn / 2) == 0 ? 1 : -1;
    *psi = sign * (c * cos_e - sine * sin_e) - 2 * k;
    *slope = m1 * sign * (cos_e + c * sin_e / fmax(sine, least_sine));
}

/* knobs: s, m1, m2, m3, lambda, whether the slope of psi is taken as 1, whether psi falls on beyond pi, the least sine */
static slopes margin(const energies *e, const double *knobs) {
    double s = knobs[0], m1 = knobs[1], m2 = knobs[2], m3 = knobs[3], lam = knobs[4], psi = e->score, slope = 1;
    if (m1 != 1 || m2 != 0) angular_margin(e->score, m1, m2, knobs[6] != 0, knobs[7], &psi, &slope);
    if (knobs[5] != 0) slope = 1;
    double h = (lam * e->score + psi) / (1 + lam) - m3, gap = e->gap + s * (h - e->score), missing = sigmoid(-gap);
    return (slopes){.loss = softplus(-gap), .score = -s * missing * (lam + slope) / (1 + lam), .competitors = missing};
}

/* knobs: m, lambda, the least sine */
static slopes l_softmax(const energies *e, const double *knobs) {
    double m = knobs[0], lam = knobs[1], c = e->score, norm = e->norm, psi, slope;
    angular_margin(c, m, 0, 1, knobs[2], &psi, &slope);
    double mixed = (lam * c + psi) / (1 + lam), gap = e->gap + norm * (mixed - c), missing = sigmoid(-gap);
    return (slopes){
        .loss = softplus(-gap),
        .score = -missing * norm * (lam + slope) / (1 + lam),
        .competitors = missing,
        .norm = -missing * mixed,
    };
}

/* In the order of closed_form_cpu.py, as is what may be kept of each sample. */
static slopes (*const FORMULAS[])(const energies *, const double *) = {
    cross_entropy, gds, gds, gradient_decay, focal, gce, truncated_ce, lm_softmax, gm_softmax, margin, l_softmax,
};
enum { SHIFT, COMPETITORS, SCALE, BY_BELOW, BY_ABOVE, BY_GAP, BY_SCORE, BY_COMPETITORS, BY_HARDEST, BY_NORM, FOUND };
enum { GIVEN = 11 };
enum { FINE, NO_CLASS, NO_MEMORY };

static int are_classes(const int64_t *target, int64_t rows, int64_t classes) {
    for (int64_t i = 0; i < rows; i++)
        if (target[i] < 0 || target[i] >= classes) return 0;
    return 1;
}

/* Of what the functions take and give, the families' formulas and their order: another one is asked for where that has changed. */
int closed_form_version(void) { return 2; }

#define NAME float
#define REAL float
#define EXP exp_float
#define LOG logf
#define FLOOR -1.8446742e19f /* -sqrt of the largest number: what stands for -inf where its differences are taken */
#include "closed_form_cpu.h"
#undef NAME
#undef REAL
#undef EXP
#undef LOG
#undef FLOOR

#define NAME double
#define REAL double
#define EXP exp_double
#define LOG log
#define FLOOR -1.3407807929942596e154
#include "closed_form_cpu.h"
