/*
 * route: which way requests take, and what one is at each stage of it; shared by nodes, gateways,
 * the controller and runs. No sockets of its own, no models, no policy.
 *
 *   routes.h       headers and documents, made from a scenario and its plan
 *   choose.h       which option a request takes, and when it may be sent once more
 *   pipeline.h     what a request means at one stage, as transformations of messages
 *   hop.h          asking the next process: time limits, replies, emulated links
 *   link.h         an emulated link
 *   request_log.h  a line per request, a trace that simulate replays
 *   roles.h        what a bearer token may do
 */
#ifndef ES_ROUTE_ROUTE_H
#define ES_ROUTE_ROUTE_H

#include "choose.h"
#include "hop.h"
#include "link.h"
#include "pipeline.h"
#include "request_log.h"
#include "roles.h"
#include "routes.h"

#endif
