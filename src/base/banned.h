/*
 * banned: calls that are easy to get wrong do not compile; the name says what to use instead.
 */
#ifndef ES_BASE_BANNED_H
#define ES_BASE_BANNED_H

/* System headers declare these, so they must be seen before the names are poisoned. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf
#undef strtok
#undef gmtime
#undef localtime
#define strcpy(x, y) strcpy_is_banned_use_es_text(x, y)
#define strcat(x, y) strcat_is_banned_use_es_text(x, y)
#define strncpy(x, y, n) strncpy_is_banned_use_es_text(x, y, n)
#define strncat(x, y, n) strncat_is_banned_use_es_text(x, y, n)
#define sprintf(...) sprintf_is_banned_use_snprintf(__VA_ARGS__)
#define vsprintf(...) vsprintf_is_banned_use_vsnprintf(__VA_ARGS__)
#define strtok(x, y) strtok_is_banned(x, y)
#define gmtime(t) gmtime_is_banned_use_gmtime_r(t)
#define localtime(t) localtime_is_banned_use_localtime_r(t)
#define atoi(x) atoi_is_banned_use_es_text_to_int(x)
#define atof(x) atof_is_banned_use_es_text_to_double(x)
#define rand() rand_is_banned_use_es_rng()
#define srand(x) srand_is_banned_use_es_rng(x)

#endif
