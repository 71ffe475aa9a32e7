/* For modules written in C++: what the headers declare has the names that C gives it. */
#ifndef OPENSIPS_MI_LINKAGE_H
#define OPENSIPS_MI_LINKAGE_H

#ifdef __cplusplus
#define OPENSIPS_MI_BEGIN_C extern "C" {
#define OPENSIPS_MI_END_C }
#define OPENSIPS_MI_ASSERT static_assert
#else
#define OPENSIPS_MI_BEGIN_C
#define OPENSIPS_MI_END_C
#define OPENSIPS_MI_ASSERT _Static_assert
#endif

#endif
