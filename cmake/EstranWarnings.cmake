# The project's warning set; gcc and clang both build clean under it.
add_library(estran_warnings INTERFACE)
target_compile_options(estran_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual -Wwrite-strings -Wundef -Wswitch-enum
    -Wnull-dereference -fno-common
    $<$<C_COMPILER_ID:GNU>:-Wdouble-promotion> # clang 14 takes INFINITY and NAN for a promotion
    $<$<BOOL:${ESTRAN_WERROR}>:-Werror>)
