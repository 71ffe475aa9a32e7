/* The processes of the server. */
#ifndef OPENSIPS_MI_PT_H
#define OPENSIPS_MI_PT_H

#include <sys/types.h>
#include <unistd.h>

#include "atomic.h"
#include "globals.h"
#include "linkage.h"
#include "timer.h"

OPENSIPS_MI_BEGIN_C

/* The number of this process in `ps`. A process that replaces a dead one gets its number. */
extern int process_no;

static inline int my_pid(void)
{
	return getpid();
}

OPENSIPS_MI_END_C

#endif
