/* Implements locks between processes as robust mutexes. A waiter sleeps in short slices: when the kernel wakes a
 * process that is killed before it takes the lock, no other waiter is woken, and a long sleep would last forever. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../include/dprint.h"
#include "../include/locking.h"
#include "shim.h"

/* Attempts before the first sleep. */
#define TRIES 60

/* Longest sleep, in nanoseconds. */
#define SLICE 5000000

/* Sleeps after which a waiter writes a line to the log: about three seconds. */
#define LONG_WAIT 600

gen_lock_t *opensips_mi_lock_init(gen_lock_t *lock, const char *module)
{
	pthread_mutexattr_t attributes;
	int failed;

	if (!lock || pthread_mutexattr_init(&attributes))
		return NULL;
	lock->module = module;
	failed = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED) ||
		pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) ||
		pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK) ||
		pthread_mutex_init(&lock->mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return failed ? NULL : lock;
}

void lock_destroy(gen_lock_t *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

static int take_within_slice(pthread_mutex_t *mutex)
{
	struct timespec deadline;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += SLICE;
	if (deadline.tv_nsec >= 1000000000) {
		deadline.tv_nsec -= 1000000000;
		deadline.tv_sec++;
	}
	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &deadline);
}

void lock_get(gen_lock_t *lock)
{
	for (int tries = 0;; tries++) {
		int result = tries < TRIES ? pthread_mutex_trylock(&lock->mutex) : take_within_slice(&lock->mutex);

		switch (result) {
		case 0:
			return;
		case EBUSY:
		case ETIMEDOUT:
			if (tries == TRIES + LONG_WAIT)
				LM_ERR("module %s: its lock %p is held by another process for seconds; still waiting\n",
					lock->module, (void *)lock);
			break;
		case EOWNERDEAD:
			pthread_mutex_consistent(&lock->mutex);
			opensips_mi_count_orphaned_lock(lock->module, lock);
			return;
		default:
			/* The lock protects nothing now: end the process rather than corrupt what it protects. */
			LM_CRIT("lock %p cannot be taken: %s; was it made by lock_init, and is it not held here already?\n",
				(void *)lock, strerror(result));
			abort();
		}
	}
}

void lock_release(gen_lock_t *lock)
{
	int result = pthread_mutex_unlock(&lock->mutex);

	/* The lock may stay taken forever. */
	if (result)
		LM_ERR("module %s: its lock %p cannot be released: %s; only who has taken it releases it\n", lock->module,
			(void *)lock, strerror(result));
}
