// SPDX-License-Identifier: Apache-2.0
#ifndef CBenchmarkPeers_H
#define CBenchmarkPeers_H
#endif
