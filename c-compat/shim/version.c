/* The version and compile flags that modules must have been compiled with. */
#include "../include/version.h"

extern const char *const opensips_mi_version;
extern const char *const opensips_mi_compile_flags;

const char *const opensips_mi_version = OPENSIPS_FULL_VERSION;
const char *const opensips_mi_compile_flags = OPENSIPS_COMPILE_FLAGS;
