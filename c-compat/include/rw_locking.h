/* Locks for readers and writers. Here readers, too, are let in one at a time: so such a lock is released like any
 * other when its holder dies. A reader that is one already must not ask again. */
#ifndef OPENSIPS_MI_RW_LOCKING_H
#define OPENSIPS_MI_RW_LOCKING_H

#include "linkage.h"
#include "locking.h"

OPENSIPS_MI_BEGIN_C

typedef struct rw_lock_t {
	gen_lock_t *lock;
} rw_lock_t;

static inline rw_lock_t *lock_init_rw(void)
{
	rw_lock_t *rw = (rw_lock_t *)shm_malloc(sizeof(*rw));

	if (!rw)
		return NULL;
	rw->lock = lock_alloc();
	if (rw->lock && lock_init(rw->lock))
		return rw;
	if (rw->lock)
		lock_dealloc(rw->lock);
	shm_free(rw);
	return NULL;
}

static inline void lock_destroy_rw(rw_lock_t *rw)
{
	if (!rw)
		return;
	lock_destroy(rw->lock);
	lock_dealloc(rw->lock);
	shm_free(rw);
}

#define lock_start_write(rw) lock_get((rw)->lock)
#define lock_stop_write(rw) lock_release((rw)->lock)
#define lock_start_read(rw) lock_get((rw)->lock)
#define lock_stop_read(rw) lock_release((rw)->lock)

OPENSIPS_MI_END_C

#endif
