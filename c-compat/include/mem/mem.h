/* Memory of one process: the C library's. */
#ifndef OPENSIPS_MI_MEM_MEM_H
#define OPENSIPS_MI_MEM_MEM_H

#include <stdlib.h>

#include "../config.h"
#include "../dprint.h"

#define pkg_malloc(size) malloc(size)
#define pkg_realloc(block, size) realloc(block, size)
#define pkg_free(block) free(block)

/* The C library has no list of its blocks to show. */
#define pkg_status() ((void)0)

#endif
