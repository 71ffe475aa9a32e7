/* Memory that all processes of the server have at the same address. */
#ifndef OPENSIPS_MI_MEM_SHM_MEM_H
#define OPENSIPS_MI_MEM_SHM_MEM_H

#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "../dprint.h"
#include "../error.h"
#include "../linkage.h"

OPENSIPS_MI_BEGIN_C

/* NULL when there is no room. Aligned for every type; not set to zero. */
void *shm_malloc(unsigned long size);
/* NULL when there is no room; the old block is kept then. */
void *shm_realloc(void *block, unsigned long size);
void shm_free(void *block);

#define shm_resize(block, size) shm_realloc(block, size)

/* The statistics of group shmem, and the log after SIGUSR1, tell how the memory is used. */
#define shm_status() ((void)0)

OPENSIPS_MI_END_C

#endif
