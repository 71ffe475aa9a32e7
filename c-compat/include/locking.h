/* Locks, and room for them. */
#ifndef OPENSIPS_MI_LOCKING_H
#define OPENSIPS_MI_LOCKING_H

#include "lock_ops.h"
#include "lock_alloc.h"

#endif
