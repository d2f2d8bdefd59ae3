# The project's warning set; gcc and clang both build clean under it.
add_library(estran_warnings INTERFACE)
target_compile_options(estran_warnings INTERFACE
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wformat=2
    -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual -Wwrite-strings -Wundef -Wswitch-enum
    -Wnull-dereference -fno-common
    $<$<BOOL:${ESTRAN_WERROR}>:-Werror>)
