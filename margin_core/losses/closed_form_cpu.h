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

/* sum of w and of w (x - top), w = e^{scale (x - top)}, over x[from], ..., x[to - 1]; a class that is out, at -inf, has no part in it. */
static inline void F(sums_)(const REAL *x, int64_t from, int64_t to, REAL scale, REAL top, REAL *of_weights, REAL *of_leads) {
    REAL total = 0, moment = 0;
#pragma omp simd reduction(+ : total, moment)
    for (int64_t j = from; j < to; j++) {
        REAL lead = x[j] - top, weight = EXP(scale * lead);
        total += weight;
        moment += weight > 0 ? weight * lead : 0;
    }
    *of_weights += total;
    *of_leads += moment;
}

/* N, and dN / ds. */
CLONES static REAL F(energy_)(const REAL *x, int64_t classes, int64_t y, REAL scale, REAL top, REAL *moment) {
    REAL total = 0, leads = 0;
    F(sums_)(x, 0, y, scale, top, &total, &leads);
    F(sums_)(x, y + 1, classes, scale, top, &total, &leads);
    /* The hardest competitor's weight is 1, so the sum is 1 at least, but where every competitor is out. */
    if (total < 1) total = 1;
    *moment = leads / total;
    return LOG(total);
}

CLONES static REAL F(top_)(const REAL *x, int64_t classes, int64_t y) {
    return F(highest_)(x, y + 1, classes, F(highest_)(x, 0, y, FLOOR));
}

/* The first competitor at `top`. */
CLONES static int64_t F(place_)(const REAL *x, int64_t classes, int64_t y, REAL top) {
    enum { STRETCH = 256 };
    for (int64_t from = 0; from < classes; from += STRETCH) {
        int64_t to = from + STRETCH < classes ? from + STRETCH : classes;
        int there = 0;
#pragma omp simd reduction(| : there)
        for (int64_t j = from; j < to; j++) there |= x[j] == top;
        for (int64_t j = from; there && j < to; j++)
            if (x[j] == top && j != y) return j;
    }
    return y; /* where every competitor is out */
}

/* x times its norms, into `room`, where there are norms. */
static inline const REAL *F(product_)(const REAL *x, const REAL *norms, int64_t classes, REAL *room) {
    if (!norms) return x;
    for (int64_t j = 0; j < classes; j++) room[j] = x[j] * norms[j];
    return room;
}

/* Of each row: the energies if `formula` is negative, else the loss and its slopes; at the scale given[0], or given[1] where the
   target leads by given[2] or more. The loss or the energies go to `own`, the other numbers to their places in `kept`. Returns what is
   wrong. */
int F(forward_)(
    const REAL *scores, const REAL *norms, int64_t rows, int64_t classes, const int64_t *target, int formula, const double **given,
    const int64_t *steps, REAL **own, REAL *kept, const int64_t *places, int64_t *rival, int threads) {
    if (!are_classes(target, rows, classes)) return NO_CLASS;
    int wrong = FINE;
    REAL *found[FOUND];
    for (int j = 0; j < FOUND; j++) found[j] = places[j] < 0 ? 0 : kept + places[j] * rows;
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        REAL *room = norms ? malloc(classes * sizeof(REAL)) : 0;
#pragma omp for
        for (int64_t i = 0; i < rows; i++) {
            if (norms && !room) {
                wrong = NO_MEMORY;
                continue;
            }
            const REAL *x = F(product_)(scores + i * classes, norms ? norms + i * classes : 0, classes, room);
            int64_t y = target[i], at = i * classes + y;
            double knobs[GIVEN];
            for (int j = 0; j < GIVEN; j++) knobs[j] = given[j] ? given[j][i * steps[j]] : 0;
            REAL top = F(top_)(x, classes, y), lead = x[y] - top, moment;
            int above = given[2] && lead >= (REAL)knobs[2];
            REAL s = (REAL)knobs[above ? 1 : 0], energy = F(energy_)(x, classes, y, s, top, &moment);
            energies e = energies_of((double)s * lead - energy, scores[at], energy, norms ? norms[at] : 1);
            if (formula < 0) {
                REAL of[] = {e.gap, e.plain, e.missing, e.score};
                for (int j = 0; j < 4; j++) own[j][i] = of[j];
            } else {
                slopes by = FORMULAS[formula](&e, knobs + 3);
                REAL of[] = {by.gap, by.score, by.competitors, by.hardest, by.norm};
                own[0][i] = by.loss;
                for (int j = 0; j < FOUND - BY_GAP; j++)
                    if (found[BY_GAP + j]) found[BY_GAP + j][i] = of[j];
            }
            found[SHIFT][i] = top;
            found[COMPETITORS][i] = energy;
            if (found[SCALE]) found[SCALE][i] = s;
            if (found[BY_BELOW]) found[BY_BELOW][i] = above ? 0 : lead - moment;
            if (found[BY_ABOVE]) found[BY_ABOVE][i] = above ? lead - moment : 0;
            if (rival) rival[i] = F(place_)(x, classes, y, top);
        }
        free(room);
    }
    return wrong;
}

CLONES static void F(pull_)(const REAL *x, int64_t classes, REAL scale, REAL shift, REAL pull, REAL *gradient) {
    /* The target may be far above the shift; what comes of it is written over. */
#pragma omp simd
    for (int64_t j = 0; j < classes; j++) gradient[j] = pull * EXP(scale * (x[j] - shift));
}

/* The gradients of the scores and, unless it is null, of the norms, by the given slopes or, where they are null, by those in their places
   in `kept`. Of the slopes that by gap is null, or those by score, competitors and norm are; that by the hardest competitor may be, and
   rival then too. */
int F(backward_)(
    const REAL *scores, const REAL *norms, int64_t rows, int64_t classes, const int64_t *target, double scale, const REAL **slopes,
    const REAL *kept, const int64_t *places, const int64_t *rival, const REAL *of_loss, REAL *gradient, REAL *of_norms, int threads) {
    if (!are_classes(target, rows, classes)) return NO_CLASS;
    int wrong = FINE;
    const REAL *found[FOUND];
    for (int j = 0; j < FOUND; j++) found[j] = places[j] < 0 ? 0 : kept + places[j] * rows;
    if (slopes)
        for (int j = BY_GAP; j < FOUND; j++) found[j] = slopes[j - BY_GAP];
    const REAL *shift = found[SHIFT], *competitors = found[COMPETITORS], *scales = found[SCALE], *by_gap = found[BY_GAP];
    const REAL *by_score = found[BY_SCORE], *by_competitors = found[BY_COMPETITORS], *by_hardest = found[BY_HARDEST], *by_norm = found[BY_NORM];
#pragma omp parallel num_threads(threads) if (threads > 1)
    {
        REAL *room = norms ? malloc(classes * sizeof(REAL)) : 0;
#pragma omp for
        for (int64_t i = 0; i < rows; i++) {
            if (norms && !room) {
                wrong = NO_MEMORY;
                continue;
            }
            const REAL *raw = scores + i * classes, *n = norms ? norms + i * classes : 0, *x = F(product_)(raw, n, classes, room);
            REAL of = of_loss[i], s = scales ? scales[i] : (REAL)scale, *g = gradient + i * classes;
            int64_t y = target[i];
            double of_competitors = (double)of * s * (by_gap ? -by_gap[i] : by_competitors[i]);
            F(pull_)(x, classes, s, shift[i], (REAL)(of_competitors * exp(-competitors[i])), g);
            if (by_hardest) g[rival[i]] += of * s * by_hardest[i];
            if (of_norms)
                for (int64_t j = 0; j < classes; j++) of_norms[i * classes + j] = g[j] * raw[j];
            if (n)
                for (int64_t j = 0; j < classes; j++) g[j] *= n[j];
            /* Last, since where every competitor is out the target itself is taken for the hardest. */
            g[y] = of * (by_gap ? s * by_gap[i] * (n ? n[y] : 1) : by_score[i]);
            if (of_norms) of_norms[i * classes + y] = of * (by_gap ? s * by_gap[i] * raw[y] : by_norm[i]);
        }
        free(room);
    }
    return wrong;
}

#undef F
