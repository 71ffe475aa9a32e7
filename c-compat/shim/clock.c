/* Keeps the clock of the server: the time since its start, and the time of day at its start. */
#include <time.h>

#include "../include/globals.h"
#include "../include/timer.h"
#include "shim.h"

time_t startup_time;

static struct timespec start;

void opensips_mi_start_clock(void)
{
	if (!startup_time) {
		startup_time = time(NULL);
		clock_gettime(CLOCK_MONOTONIC, &start);
	}
}

utime_t get_uticks(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (utime_t)(now.tv_sec - start.tv_sec) * 1000000 + now.tv_nsec / 1000 - start.tv_nsec / 1000;
}

unsigned int get_ticks(void)
{
	return get_uticks() / 1000000;
}
