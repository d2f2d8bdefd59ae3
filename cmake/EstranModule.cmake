# es_module(NAME [USES other modules…] [LIBS outside libraries…])
#
# Every folder under src/ has the same shape: NAME.h is the face, *.c the code, and beside them
# *_test.c (one cmocka program each), *_fuzz.c (libFuzzer, with ESTRAN_FUZZ) and *_bench.c.
# Tests are registered as NAME.FILE with the label unit and the module's name.
function(es_module name)
    cmake_parse_arguments(arg "" "" "USES;LIBS" ${ARGN})
    file(GLOB every CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.c")
    set(code ${every})
    list(FILTER code EXCLUDE REGEX "(_test|_fuzz|_bench|/main)\\.c$")
    list(TRANSFORM arg_USES PREPEND "es_")

    add_library(es_${name} STATIC ${code})
    target_include_directories(es_${name} PUBLIC "${CMAKE_SOURCE_DIR}/src")
    target_compile_definitions(es_${name} PUBLIC _POSIX_C_SOURCE=200809L)
    target_link_libraries(es_${name} PUBLIC ${arg_USES} Threads::Threads m
                          PRIVATE ${arg_LIBS} estran_warnings)

    foreach(file IN LISTS every)
        get_filename_component(stem "${file}" NAME_WE)
        if(stem MATCHES "_test$" AND BUILD_TESTING)
            es_add_test(${name} ${stem} "${file}")
        elseif(stem MATCHES "_fuzz$" AND ESTRAN_FUZZ)
            es_add_fuzz(${name} ${stem} "${file}")
        elseif(stem MATCHES "_bench$")
            add_executable(${name}_${stem} EXCLUDE_FROM_ALL "${file}")
            target_link_libraries(${name}_${stem} PRIVATE es_${name} estran_warnings)
            target_include_directories(${name}_${stem} PRIVATE "${CMAKE_SOURCE_DIR}/tests/support")
        endif()
    endforeach()
endfunction()

function(es_add_test module stem file)
    set(target ${module}_${stem})
    add_executable(${target} "${file}")
    target_link_libraries(${target} PRIVATE es_${module} PkgConfig::CMOCKA estran_warnings)
    target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/tests/support")
    target_compile_definitions(${target} PRIVATE
        ES_TEST_SOURCE_DIR="${CMAKE_SOURCE_DIR}" ES_TEST_BINARY_DIR="${CMAKE_BINARY_DIR}")
    string(REGEX REPLACE "_test$" "" short ${stem})
    add_test(NAME ${module}.${short} COMMAND ${target})
    set_tests_properties(${module}.${short} PROPERTIES LABELS "unit;${module}" TIMEOUT 120
        WORKING_DIRECTORY "${CMAKE_BINARY_DIR}" SKIP_RETURN_CODE 77)
endfunction()

# Links a test of tests/support/es_faults.h so that fallible calls pass through it; more names may
# follow that the test wraps itself.
function(es_add_faults target)
    foreach(name malloc calloc realloc aligned_alloc socket epoll_create1 epoll_ctl eventfd dup
            pthread_create ${ARGN})
        target_link_options(${target} PRIVATE "LINKER:--wrap=${name}")
    endforeach()
endfunction()

# The kept corpus lies in tests/corpus/STEM; replaying it is a test in every build of the fuzz preset.
function(es_add_fuzz module stem file)
    set(target ${module}_${stem})
    add_executable(${target} "${file}")
    target_link_libraries(${target} PRIVATE es_${module} estran_warnings)
    target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${module}.${stem} COMMAND ${target} -runs=0
             "${CMAKE_SOURCE_DIR}/tests/corpus/${target}")
    set_tests_properties(${module}.${stem} PROPERTIES LABELS "fuzz;${module}" TIMEOUT 120)
endfunction()
