/* Variables of the server that modules read. */
#ifndef OPENSIPS_MI_GLOBALS_H
#define OPENSIPS_MI_GLOBALS_H

#include <time.h>

#include "linkage.h"
#include "str.h"

OPENSIPS_MI_BEGIN_C

/* When the server started, in seconds since 1970. */
extern time_t startup_time;

OPENSIPS_MI_END_C

#endif
