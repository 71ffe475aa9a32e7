/* Locks between processes. A lock lies in shm_malloc memory. When its holder dies it is released; who gets it next
 * finds what it protects perhaps half written, so the log names the module, and the statistic mi:NAME_suspect_locks
 * counts. */
#ifndef OPENSIPS_MI_LOCK_OPS_H
#define OPENSIPS_MI_LOCK_OPS_H

#include <pthread.h>

#include "dprint.h"
#include "linkage.h"

OPENSIPS_MI_BEGIN_C

typedef struct {
	pthread_mutex_t mutex;
	/* Name of the module that made the lock. */
	const char *module;
} gen_lock_t;

gen_lock_t *opensips_mi_lock_init(gen_lock_t *lock, const char *module);

/* Returns the lock, NULL when it cannot be made. */
#define lock_init(lock) opensips_mi_lock_init(lock, MOD_NAME)

void lock_destroy(gen_lock_t *lock);
void lock_get(gen_lock_t *lock);
void lock_release(gen_lock_t *lock);

struct gen_lock_set_t_ {
	long size;
	gen_lock_t *locks;
};

typedef struct gen_lock_set_t_ gen_lock_set_t;

OPENSIPS_MI_ASSERT(sizeof(gen_lock_t) == 48, "layout of gen_lock_t");

static inline gen_lock_set_t *lock_set_init(gen_lock_set_t *set)
{
	for (long i = 0; i < set->size; i++)
		if (!lock_init(&set->locks[i]))
			return 0;
	return set;
}

#define lock_set_destroy(set) ((void)(set))
#define lock_set_get(set, i) lock_get(&(set)->locks[i])
#define lock_set_release(set, i) lock_release(&(set)->locks[i])

OPENSIPS_MI_END_C

#endif
