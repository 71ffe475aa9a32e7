/* Time since the server's start, and periodic timers. */
#ifndef OPENSIPS_MI_TIMER_H
#define OPENSIPS_MI_TIMER_H

#include "linkage.h"

OPENSIPS_MI_BEGIN_C

typedef unsigned long long utime_t;

typedef void (timer_function)(unsigned int ticks, void *param);
typedef void (utimer_function)(utime_t uticks, void *param);

/* The process calls child_init of all modules, with PROC_TIMER, before its first timer. */
#define TIMER_PROC_INIT_FLAG (1 << 0)

/* Seconds since the server's start. */
unsigned int get_ticks(void);
/* Microseconds since the server's start. */
utime_t get_uticks(void);

/* What is to be done every `interval` seconds, or microseconds, from the beginning of one run to that of the next; at
 * least one second, or a tenth of it. All run in one process, which serves nothing else; one that takes longer than its
 * interval runs again at once, and misses what was due between. In the module's init function. Gives a number; less
 * than 0: an error. */
int register_timer(char *label, timer_function f, void *param, unsigned int interval);
int register_utimer(char *label, utimer_function f, void *param, unsigned int interval);

/* The same in a process of its own; more can be appended to what it gives. NULL: an error. */
void *register_timer_process(char *label, timer_function f, void *param, unsigned int interval, unsigned int flags);
int append_timer_to_process(char *label, timer_function f, void *param, unsigned int interval, void *process);
int append_utimer_to_process(char *label, utimer_function f, void *param, unsigned int interval, void *process);

OPENSIPS_MI_END_C

#endif
