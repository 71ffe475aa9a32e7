/* Variables of the server that modules read. */
#ifndef OPENSIPS_MI_GLOBALS_H
#define OPENSIPS_MI_GLOBALS_H

#include <time.h>

#include "str.h"

/* When the server started, in seconds since 1970. */
extern time_t startup_time;

#endif
