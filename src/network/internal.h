/*
 * network, private: how a network lies in memory, and what the importers share.
 */
#ifndef ES_NETWORK_INTERNAL_H
#define ES_NETWORK_INTERNAL_H

#include "base/array.h"
#include "network/network.h"

#endif
