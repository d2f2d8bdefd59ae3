/*
 * xml, private: a file as a walk over elements; the only place that sees expat is xml.c.
 *
 * Entities cannot be declared, nothing outside the file is read, elements nest at most
 * ES_TOPOLOGY_DEPTH_MAX deep. Names come without their namespace prefix.
 */
#ifndef ES_NETWORK_XML_H
#define ES_NETWORK_XML_H

#include "network/internal.h"

enum { ES_XML_NAME_SIZE = 32 };

typedef struct es_xml es_xml;

/* Called when an element opens and when it closes. attributes: name, value, ..., NULL. text: what
 * stood in the element when `start` or a handler set wants_text, else "". */
typedef es_status es_xml_start(void *context, es_xml *xml, const char *name,
                               const char *const *attributes, es_error *err);
typedef es_status es_xml_end(void *context, es_xml *xml, const char *name, const char *text,
                             es_error *err);

struct es_xml {
    es_topology_maker *maker;
    es_place place;                                     /* where the current tag begins */
    char path[ES_TOPOLOGY_DEPTH_MAX][ES_XML_NAME_SIZE]; /* open elements, cut to the size */
    size_t depth;
    bool wants_text; /* set in start to get the element's text at its end */
    /* the rest belongs to xml.c */
    es_text text;
    void *parser;
    es_xml_start *start;
    es_xml_end *end;
    void *context;
    es_status status;
    es_error *err;
};

es_status es_xml_walk(es_topology_maker *maker, const char *bytes, size_t size, es_xml_start *start,
                      es_xml_end *end, void *context, es_error *err) ES_MUST_CHECK;

/* The name of the element around the current one; "" around the root. */
const char *es_xml_parent(const es_xml *xml);

/* The value of an attribute, or NULL. */
const char *es_xml_attribute(const char *const *attributes, const char *name);

/* Fails with `<name> is inside <parent>, expected inside <wanted>`. wanted "": the root. */
es_status es_xml_expect_parent(const es_xml *xml, const char *name, const char *wanted,
                               es_error *err) ES_MUST_CHECK;

/* Fails when there is none or it is empty; otherwise a copy that lives in the result's arena. */
es_status es_xml_need_attribute(es_xml *xml, const char *element, const char *const *attributes,
                                const char *name, const char **out, es_error *err) ES_MUST_CHECK;

#endif
