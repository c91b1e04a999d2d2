// SPDX-License-Identifier: Apache-2.0
//
// One event with two fields. LTTng includes this file several times to make its code.

#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER cpuisolation_peer

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "LTTngPeerProvider.h"

#if !defined(LTTNGPEERPROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define LTTNGPEERPROVIDER_H

#include <lttng/tracepoint.h>
#include <stdint.h>

LTTNG_UST_TRACEPOINT_EVENT(
    cpuisolation_peer, turn, LTTNG_UST_TP_ARGS(uint32_t, count, uint32_t, version),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(uint32_t, count, count)
                            lttng_ust_field_integer(uint32_t, version, version)))

#endif

#include <lttng/tracepoint-event.h>
