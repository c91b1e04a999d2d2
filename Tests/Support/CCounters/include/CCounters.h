// SPDX-License-Identifier: Apache-2.0
#ifndef CCounters_H
#define CCounters_H
#endif
