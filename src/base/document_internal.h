/*
 * document_internal: what the YAML and the JSON reader share: one builder of trees.
 *
 * A reader hands over values in the order of the file; the builder links them, counts them, bounds
 * depth and number, and finds duplicate keys. Nothing recurses.
 */
#ifndef ES_BASE_DOCUMENT_INTERNAL_H
#define ES_BASE_DOCUMENT_INTERNAL_H

#include "base/document.h"

#include <inttypes.h>

typedef struct es_doc_place {
    uint32_t line; /* both from 1 */
    uint32_t column;
} es_doc_place;

typedef struct es_doc_pending {
    es_doc *value;
    es_doc_place key_place;
} es_doc_pending;

typedef struct es_doc_frame {
    es_doc *container;
    size_t first; /* of its children in pending */
} es_doc_frame;

typedef struct es_doc_builder {
    es_arena *arena;
    const char *file;
    es_doc *root;
    size_t value_count;
    /* Children of the open containers, outermost first; on the heap, since it only shrinks at the
     * end. It is smaller than the values it points to, so the arena's cap bounds it too. */
    es_doc_pending *pending;
    size_t pending_count;
    size_t pending_capacity;
    es_doc_frame frames[ES_DOC_DEPTH_MAX];
    size_t depth;
    const char *key; /* of the value to come, or NULL */
    es_doc_place key_place;
} es_doc_builder;

/* Copies name into the arena. */
es_status es_doc_builder_init(es_doc_builder *builder, es_arena *arena, const char *name,
                              es_error *err) ES_MUST_CHECK;
void es_doc_builder_done(es_doc_builder *builder); /* for ES_CLEANUP; the tree stays */

/* True when the next thing must be a key or the end of a map. */
bool es_doc_builder_wants_key(const es_doc_builder *builder);
es_status es_doc_builder_key(es_doc_builder *builder, const char *bytes, size_t size,
                             es_doc_place place, es_error *err) ES_MUST_CHECK;

/* Adds value (type, as and place are read; texts must lie in the arena). A list or a map stays
 * open until es_doc_builder_end. out_value may be NULL. */
es_status es_doc_builder_add(es_doc_builder *builder, es_doc value, const es_doc **out_value,
                             es_error *err) ES_MUST_CHECK;
es_status es_doc_builder_add_text(es_doc_builder *builder, const char *bytes, size_t size,
                                  es_doc_place place, const es_doc **out_value,
                                  es_error *err) ES_MUST_CHECK;
es_status es_doc_builder_end(es_doc_builder *builder, es_error *err) ES_MUST_CHECK;

/* Adds a copy of a finished tree, each value keeping its line and column: that is where it is
 * written, and where a mistake in it is put right. */
es_status es_doc_builder_add_copy(es_doc_builder *builder, const es_doc *source,
                                  es_error *err) ES_MUST_CHECK;

/* Fails at a place of the builder's file, with the path of the innermost open container. */
es_status es_doc_builder_fail(const es_doc_builder *builder, es_doc_place place, es_status status,
                              es_error *err, const char *format, ...) ES_PRINTF(5, 6);

/* Fails at a place, with the path of value (value may be NULL: no path). */
es_status es_doc_fail_at(const char *file, es_doc_place place, const es_doc *value,
                         es_status status, es_error *err, const char *format, va_list args)
    ES_PRINTF(6, 0);

/* Turns digits (already checked against a grammar: decimal, 0x… or 0o…) into INT, or NUMBER when
 * they have a fraction, an exponent or do not fit int64. False when out of the range of a double.
 * "-0" is the NUMBER -0.0, so that writing and reading keep it. */
bool es_doc_number_from(const char *digits, size_t size, es_doc *out);

/* For messages: at most about 60 bytes of a text on one line, cut between characters. */
enum { ES_DOC_SHOWN_SIZE = 80 };
typedef struct es_doc_shown {
    char text[ES_DOC_SHOWN_SIZE];
} es_doc_shown;
es_doc_shown es_doc_show(const char *bytes, size_t size);

/* Size in bytes of the well-formed UTF-8 character at bytes (size > 0), or 0. */
size_t es_doc_utf8_size(const char *bytes, size_t size);

/* For walking a tree without a stack: first child (NULL when there is none), next value under the
 * same parent (NULL at the last). */
const es_doc *es_doc_child_first(const es_doc *container);
const es_doc *es_doc_sibling_next(const es_doc *value);

#endif
