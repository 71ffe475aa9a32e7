/* Sizes that modules ask for. */
#ifndef OPENSIPS_MI_CONFIG_H
#define OPENSIPS_MI_CONFIG_H

#define STATISTICS
#define SHM_MEM
#define PATH_MAX_GUESS 1024

#endif
