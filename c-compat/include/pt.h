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

/* This process's line of `ps`. A process that takes the place of a dead one has its number. */
extern int process_no;

static inline int my_pid(void)
{
	return getpid();
}

OPENSIPS_MI_END_C

#endif
