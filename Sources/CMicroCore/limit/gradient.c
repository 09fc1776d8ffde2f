#include "limit/gradient.h"

/* As the original has them. */
static const double TOLERANCE = 1.5, SMOOTHING = 0.2, STEEPEST = 0.5, QUEUE = 4, RECOVERY = 0.95;
enum { WARM_UP = 10, LOOKS = 600 };

static double within(double value, double min, double max) {
    return value < min ? min : value > max ? max : value;
}

/* An arithmetic mean at first, then an exponential one. */
static void note(mcore__gradient *gradient, double took_ns) {
    if (gradient->looks < WARM_UP) {
        gradient->looks++;
        gradient->usual_ns += (took_ns - gradient->usual_ns) / gradient->looks;
    } else {
        gradient->usual_ns += (took_ns - gradient->usual_ns) * 2 / (LOOKS + 1);
    }
    /* It was high for long, and is not any more: the average would take as long to learn of it. */
    if (gradient->usual_ns > 2 * took_ns) gradient->usual_ns *= RECOVERY;
}

void mcore__gradient_look(mcore__gradient *gradient, double took_ns, uint32_t peak, uint32_t min,
                          uint32_t max) {
    if (took_ns < 1) took_ns = 1;
    note(gradient, took_ns);
    /* With so few at once nothing is learnt about more of them. */
    if (peak >= gradient->limit / 2) {
        double slope = within(TOLERANCE * gradient->usual_ns / took_ns, STEEPEST, 1);
        double next = gradient->limit * slope + QUEUE;
        gradient->limit += (next - gradient->limit) * SMOOTHING;
    }
    gradient->limit = within(gradient->limit, min, max);
}
