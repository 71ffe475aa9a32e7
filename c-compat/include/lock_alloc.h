/* Room for locks. */
#ifndef OPENSIPS_MI_LOCK_ALLOC_H
#define OPENSIPS_MI_LOCK_ALLOC_H

#include "linkage.h"
#include "lock_ops.h"
#include "mem/mem.h"
#include "mem/shm_mem.h"

OPENSIPS_MI_BEGIN_C

#define lock_alloc() ((gen_lock_t *)shm_malloc(sizeof(gen_lock_t)))
#define lock_dealloc(lock) shm_free(lock)

static inline gen_lock_set_t *lock_set_alloc(int count)
{
	gen_lock_set_t *set = (gen_lock_set_t *)shm_malloc(sizeof(*set) + count * sizeof(gen_lock_t));

	if (set) {
		set->size = count;
		set->locks = (gen_lock_t *)(set + 1);
	}
	return set;
}

#define lock_set_dealloc(set) shm_free(set)

OPENSIPS_MI_END_C

#endif
