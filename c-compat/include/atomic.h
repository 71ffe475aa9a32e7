/* Counters that processes change at the same time. */
#ifndef OPENSIPS_MI_ATOMIC_H
#define OPENSIPS_MI_ATOMIC_H

typedef struct {
	volatile unsigned long counter;
} atomic_t;

#define atomic_set(v, i) __atomic_store_n(&(v)->counter, (unsigned long)(i), __ATOMIC_RELAXED)
#define atomic_get(v) __atomic_load_n(&(v)->counter, __ATOMIC_RELAXED)
#define atomic_add(i, v) ((void)__atomic_add_fetch(&(v)->counter, (unsigned long)(i), __ATOMIC_RELAXED))
#define atomic_sub(i, v) ((void)__atomic_sub_fetch(&(v)->counter, (unsigned long)(i), __ATOMIC_RELAXED))
#define atomic_inc(v) atomic_add(1, v)
#define atomic_dec(v) atomic_sub(1, v)

#endif
