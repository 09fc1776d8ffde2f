#include "rpc/silence.h"

enum { PROBES_MAX = 2, CALM_MAX = 6 };

/* A PING stands behind what was sent before it, and that may fill the buffers of a slow network:
 * then it has the time that a keepalive PING has. */
#define SENT_MUCH_BYTES ((size_t)256 * 1024)

static uint64_t later_of(uint64_t a, uint64_t b) { return a > b ? a : b; }

static mcore__silence_action ping(mcore__silence *silence, const mcore__silence_policy *policy,
                                  uint64_t timeout_ns, uint64_t now_ns, uint64_t *out_next_ns) {
    silence->ping_ns = now_ns;
    silence->timeout_ns = timeout_ns;
    silence->patience_ns = later_of(timeout_ns, policy->keepalive_timeout_ns);
    silence->pinged = 1;
    silence->late = 0;
    *out_next_ns = timeout_ns;
    return MCORE__SILENCE_PING;
}

static int may_probe(const mcore__silence *silence, const mcore__silence_policy *policy,
                     uint32_t calm) {
    return policy->probe_ns && !calm && silence->probes < PROBES_MAX &&
           silence->asked_ns > silence->ping_ns;
}

mcore__silence_action mcore__silence_check(mcore__silence *silence,
                                           const mcore__silence_policy *policy, uint32_t calm,
                                           uint64_t now_ns, uint64_t *out_next_ns) {
    if (silence->pinged) {
        uint64_t waited_ns = now_ns - silence->ping_ns;
        if (waited_ns >= silence->patience_ns) return MCORE__SILENCE_DEAD;
        uint32_t was_late = silence->late;
        silence->late = waited_ns >= silence->timeout_ns;
        *out_next_ns = (silence->late ? silence->patience_ns : silence->timeout_ns) - waited_ns;
        return silence->late && !was_late ? MCORE__SILENCE_LATE : MCORE__SILENCE_WAIT;
    }
    uint64_t quiet_ns = now_ns - later_of(silence->heard_ns, silence->since_ns);
    uint64_t keepalive_ns = policy->keepalive_ns << (calm < CALM_MAX ? calm : CALM_MAX);
    *out_next_ns = UINT64_MAX;
    if (keepalive_ns) {
        if (quiet_ns >= keepalive_ns) {
            return ping(silence, policy, policy->keepalive_timeout_ns, now_ns, out_next_ns);
        }
        *out_next_ns = keepalive_ns - quiet_ns;
    }
    if (!may_probe(silence, policy, calm)) return MCORE__SILENCE_WAIT;
    if (quiet_ns >= policy->probe_ns) {
        uint64_t timeout_ns = policy->probe_timeout_ns;
        if (silence->sent > SENT_MUCH_BYTES) {
            timeout_ns = later_of(timeout_ns, policy->keepalive_timeout_ns);
        }
        silence->probes++;
        return ping(silence, policy, timeout_ns, now_ns, out_next_ns);
    }
    if (policy->probe_ns - quiet_ns < *out_next_ns) *out_next_ns = policy->probe_ns - quiet_ns;
    return MCORE__SILENCE_WAIT;
}
