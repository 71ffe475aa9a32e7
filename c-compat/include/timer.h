/* Time since the server's start, and what is to be done from time to time. */
#ifndef OPENSIPS_MI_TIMER_H
#define OPENSIPS_MI_TIMER_H

typedef unsigned long long utime_t;

typedef void (timer_function)(unsigned int ticks, void *param);
typedef void (utimer_function)(utime_t uticks, void *param);

/* In seconds. */
unsigned int get_ticks(void);
/* In microseconds. */
utime_t get_uticks(void);

/* The server does not have it yet: a module that uses it is refused when it is loaded. */
int register_timer(char *label, timer_function f, void *param, unsigned int interval);

#endif
