/* The kernels of one type of number: REAL, float or double, with EXP its exponential and NAME its part of each name. */

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define F(name) PASTE(name, NAME)

/* The highest of x[from], ..., x[to - 1] and `top`; NaN is passed over, and shows in the sum. */
static inline REAL F(highest_)(const REAL *x, int64_t from, int64_t to, REAL top) {
#pragma omp simd reduction(max : top)
    for (int64_t j = from; j < to; j++) top = x[j] > top ? x[j] : top;
    return top;
}

static inline REAL F(total_)(const REAL *x, int64_t from, int64_t to, REAL scale, REAL top) {
    REAL total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t j = from; j < to; j++) total += EXP(scale * (x[j] - top));
    return total;
}

/* sum of w (x - top), w = e^{scale (x - top)}; a class that is out, at -inf, has no part in it. */
static inline REAL F(moment_)(const REAL *x, int64_t from, int64_t to, REAL scale, REAL top) {
    REAL moment = 0;
#pragma omp simd reduction(+ : moment)
    for (int64_t j = from; j < to; j++) {
        REAL weight = EXP(scale * (x[j] - top)), lead = weight > 0 ? x[j] - top : 0;
        moment += weight * lead;
    }
    return moment;
}

CLONES static REAL F(energy_)(const REAL *x, int64_t classes, int64_t y, REAL scale, REAL top, REAL *moment) {
    REAL total = F(total_)(x, 0, y, scale, top) + F(total_)(x, y + 1, classes, scale, top);
    /* The hardest competitor's weight is 1, so the sum is 1 at least, but where every competitor is out. */
    if (total < 1) total = 1;
    if (moment) *moment = (F(moment_)(x, 0, y, scale, top) + F(moment_)(x, y + 1, classes, scale, top)) / total;
    return LOG(total);
}

CLONES static REAL F(top_)(const REAL *x, int64_t classes, int64_t y) {
    return F(highest_)(x, y + 1, classes, F(highest_)(x, 0, y, FLOOR));
}

static int64_t F(place_)(const REAL *x, int64_t classes, int64_t y, REAL top) {
    for (int64_t j = 0; j < classes; j++)
        if (x[j] == top && j != y) return j;
    return 0;
}

/* Of each row: the energies if `formula` is negative, else the loss and its slopes; at the scale numbers[0], or numbers[1] where the
   target leads by numbers[2] or more. What is null is not asked for. Whether all targets are classes; nothing is done where one is not. */
int F(forward_)(
    const REAL *scores, int64_t rows, int64_t classes, const int64_t *target, int formula, const double **numbers, const int64_t *steps,
    REAL **found, int64_t *rival, int threads) {
    for (int64_t i = 0; i < rows; i++)
        if (target[i] < 0 || target[i] >= classes) return 0;
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        const REAL *x = scores + i * classes;
        int64_t y = target[i];
        double knobs[KNOBS];
        for (int j = 0; j < KNOBS; j++) knobs[j] = numbers[j] ? numbers[j][i * steps[j]] : 0;
        REAL top = F(top_)(x, classes, y), lead = x[y] - top, moment = 0;
        int above = numbers[2] && lead >= (REAL)knobs[2];
        REAL s = (REAL)knobs[above ? 1 : 0], energy = F(energy_)(x, classes, y, s, top, found[BY_SCALE] ? &moment : 0);
        energies e = energies_of((double)s * lead - energy, x[y], energy);
        if (formula < 0) {
            REAL of[] = {e.gap, e.plain, e.missing, e.score};
            for (int j = 0; j < 4; j++) found[ENERGIES + j][i] = of[j];
        } else {
            slopes by = FORMULAS[formula](&e, knobs + 3);
            REAL of[] = {by.loss, by.gap, by.score, by.competitors, by.hardest, by.norm};
            for (int j = 0; j < 6; j++)
                if (found[LOSS + j]) found[LOSS + j][i] = of[j];
        }
        found[SHIFT][i] = top;
        found[COMPETITORS][i] = energy;
        if (found[SCALE]) found[SCALE][i] = s;
        if (found[ABOVE]) found[ABOVE][i] = above;
        if (found[BY_SCALE]) found[BY_SCALE][i] = lead - moment;
        if (rival) rival[i] = F(place_)(x, classes, y, top);
    }
    return 1;
}

CLONES static void F(pull_)(const REAL *x, int64_t classes, REAL scale, REAL shift, REAL competitors, REAL pull, REAL *gradient) {
#pragma omp simd
    for (int64_t j = 0; j < classes; j++) gradient[j] = pull * EXP(scale * (x[j] - shift) - competitors);
}

/* by_gap is null, or by_score and by_competitors are; by_hardest may be, and rival then too. */
int F(backward_)(
    const REAL *scores, int64_t rows, int64_t classes, const int64_t *target, const REAL *scales, double scale, const REAL *shift,
    const REAL *competitors, const int64_t *rival, const REAL *of_loss, const REAL *by_gap, const REAL *by_score,
    const REAL *by_competitors, const REAL *by_hardest, REAL *gradient, int threads) {
#pragma omp parallel for num_threads(threads) if (threads > 1)
    for (int64_t i = 0; i < rows; i++) {
        REAL s = scales ? scales[i] : (REAL)scale, *g = gradient + i * classes;
        REAL of_competitors = of_loss[i] * s * (by_gap ? -by_gap[i] : by_competitors[i]);
        F(pull_)(scores + i * classes, classes, s, shift[i], competitors[i], of_competitors, g);
        if (by_hardest) g[rival[i]] += of_loss[i] * s * by_hardest[i];
        /* Last, since where every competitor is out the target itself is taken for the hardest. */
        g[target[i]] = of_loss[i] * (by_gap ? s * by_gap[i] : by_score[i]);
    }
    return 1;
}

#undef F
