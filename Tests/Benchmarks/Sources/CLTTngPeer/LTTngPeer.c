// SPDX-License-Identifier: Apache-2.0

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "LTTngPeerProvider.h"

#include "CLTTngPeer.h"

bool lttng_peer_is_on(void) { return lttng_ust_tracepoint_enabled(cpuisolation_peer, turn); }

void lttng_peer_records(uint64_t count) {
  _Pragma("clang loop unroll(disable)") for (uint64_t i = 0; i < count; i++) {
    lttng_peer_turn(i);
    lttng_ust_tracepoint(cpuisolation_peer, turn, (uint32_t)i | 1, 7);
  }
}
