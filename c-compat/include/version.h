/* What a module was compiled for: compared with the server's own when it is loaded. The last number of the version
 * goes up with every change of a layout or of a meaning. */
#ifndef OPENSIPS_MI_VERSION_H
#define OPENSIPS_MI_VERSION_H

#define OPENSIPS_FULL_VERSION "opensips-mi, interface of 1.11, number 2"
#define OPENSIPS_COMPILE_FLAGS "STATS: On, SHM_MEM, LOCKS: robust, 64 bits"

#if __SIZEOF_POINTER__ != 8 || __SIZEOF_LONG__ != 8
#error "modules are built for 64 bits"
#endif

#endif
