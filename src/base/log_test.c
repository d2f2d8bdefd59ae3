#include "base/log.h"
#include "es_test.h"

#include <stdio.h>

/* Runs write with stderr in a file and gives back what was written. */
static const char *captured(void (*write)(void))
{
    static char text[8192];
    FILE *file = tmpfile();
    assert_non_null(file);
    (void)fflush(stderr);
    int kept = dup(STDERR_FILENO);
    assert_true(kept >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    write();
    (void)fflush(stderr);
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    (void)close(kept);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

static void write_all_levels(void)
{
    es_log(ES_LOG_ERROR, "cli", "broken file=%s", "a.yaml");
    es_log(ES_LOG_WARNING, "serve", "slow");
    es_log(ES_LOG_INFO, "serve", "ready port=%d", 80);
    es_log(ES_LOG_DEBUG, "plan", "round=%d", 1);
}

static void lines_have_level_module_and_message(void **state)
{
    (void)state;
    assert_int_equal(es_log_level_get(), ES_LOG_INFO);
    assert_string_equal(captured(write_all_levels), "error cli broken file=a.yaml\n"
                                                    "warning serve slow\n"
                                                    "info serve ready port=80\n");
}

static void the_level_drops_what_is_above(void **state)
{
    (void)state;
    es_log_level_set(ES_LOG_DEBUG);
    assert_non_null(strstr(captured(write_all_levels), "debug plan round=1\n"));
    es_log_level_set(ES_LOG_ERROR);
    assert_string_equal(captured(write_all_levels), "error cli broken file=a.yaml\n");
    es_log_level_set(ES_LOG_INFO);
}

static void write_too_much(void)
{
    char words[5000];
    memset(words, 'x', sizeof words - 1);
    words[sizeof words - 1] = '\0';
    es_log(ES_LOG_ERROR, "cli", "%s", words);
}

static void a_long_line_stays_one_line(void **state)
{
    (void)state;
    const char *text = captured(write_too_much);
    assert_int_equal(strlen(text), 1024); /* 1023 and the line's end */
    assert_ptr_equal(strchr(text, '\n'), text + 1023);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_level_module_and_message),
        cmocka_unit_test(the_level_drops_what_is_above),
        cmocka_unit_test(a_long_line_stays_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
