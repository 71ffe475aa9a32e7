/* Blocks of the routing script, of which this server runs none. A module says by them where its functions may be
 * called. */
#ifndef OPENSIPS_MI_ROUTE_H
#define OPENSIPS_MI_ROUTE_H

#include "error.h"

#define REQUEST_ROUTE 1
#define FAILURE_ROUTE 2
#define ONREPLY_ROUTE 4
#define BRANCH_ROUTE 8
#define ERROR_ROUTE 16
#define LOCAL_ROUTE 32
#define STARTUP_ROUTE 64
#define TIMER_ROUTE 128
#define EVENT_ROUTE 256

#endif
