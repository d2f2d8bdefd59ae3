#include "network/xml.h"

#include <expat.h>
#include <limits.h>

static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

static void note_place(es_xml *xml)
{
    xml->place = (es_place){.line = (size_t)XML_GetCurrentLineNumber(xml->parser),
                            .column = (size_t)XML_GetCurrentColumnNumber(xml->parser) + 1};
}

/* Keeps the first failure; expat then returns from XML_Parse. */
static void stop(es_xml *xml, es_status status)
{
    if (status == ES_OK || xml->status != ES_OK)
        return;
    xml->status = status;
    (void)XML_StopParser(xml->parser, XML_FALSE); /* only fails when it was stopped before */
}

static es_status open_element(es_xml *xml, const char *name, const char *const *attributes)
{
    if (xml->depth >= ES_TOPOLOGY_DEPTH_MAX)
        return es_maker_fail(xml->maker, xml->place, xml->err, "more than %d nested elements",
                             ES_TOPOLOGY_DEPTH_MAX);
    (void)snprintf(xml->path[xml->depth++], ES_XML_NAME_SIZE, "%s", name); /* cut on purpose */
    xml->wants_text = false;
    es_text_clear(&xml->text);
    return xml->start(xml->context, xml, name, attributes, xml->err);
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    es_xml *xml = data;
    if (xml->status != ES_OK)
        return;
    note_place(xml);
    stop(xml, open_element(xml, local_name(name), attributes));
}

/* The text without the spaces around it, which indented files have. */
static const char *trimmed(es_text *text)
{
    static const char spaces[] = " \t\r\n";
    while (text->size > 0 && strchr(spaces, text->bytes[text->size - 1]) != NULL)
        text->bytes[--text->size] = '\0';
    const char *words = es_text_get(text);
    return words + strspn(words, spaces);
}

static es_status close_element(es_xml *xml, const char *name)
{
    if (es_text_status(&xml->text, NULL) != ES_OK)
        return es_maker_fail(xml->maker, xml->place, xml->err, "text of <%.32s> is over %d bytes",
                             name, ES_TOPOLOGY_WORD_MAX);
    ES_TRY(xml->end(xml->context, xml, name, trimmed(&xml->text), xml->err));
    es_text_clear(&xml->text);
    xml->wants_text = false;
    xml->depth--;
    return ES_OK;
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
    es_xml *xml = data;
    if (xml->status != ES_OK)
        return;
    note_place(xml);
    stop(xml, close_element(xml, local_name(name)));
}

static void XMLCALL on_text(void *data, const XML_Char *text, int size)
{
    es_xml *xml = data;
    if (xml->status == ES_OK && xml->wants_text)
        es_text_append_n(&xml->text, text, (size_t)size);
}

/* Without declared entities nothing can be expanded, so no small file becomes a large one. */
static void XMLCALL on_entity(void *data, const XML_Char *name, int is_parameter,
                              const XML_Char *value, int size, const XML_Char *base,
                              const XML_Char *system_id, const XML_Char *public_id,
                              const XML_Char *notation)
{
    (void)is_parameter, (void)value, (void)size, (void)base;
    (void)system_id, (void)public_id, (void)notation;
    es_xml *xml = data;
    if (xml->status != ES_OK)
        return;
    note_place(xml);
    stop(xml, es_maker_fail(xml->maker, xml->place, xml->err,
                            "declares entity '%.64s'; entity declarations are not accepted", name));
}

static void XMLCALL on_skipped(void *data, const XML_Char *name, int is_parameter)
{
    (void)is_parameter;
    es_xml *xml = data;
    if (xml->status != ES_OK)
        return;
    note_place(xml);
    stop(xml, es_maker_fail(xml->maker, xml->place, xml->err, "entity '%.64s' is not known", name));
}

static es_status walk(es_xml *xml, const char *bytes, size_t size)
{
    XML_SetUserData(xml->parser, xml);
    XML_SetElementHandler(xml->parser, on_start, on_end);
    XML_SetCharacterDataHandler(xml->parser, on_text);
    XML_SetEntityDeclHandler(xml->parser, on_entity);
    XML_SetSkippedEntityHandler(xml->parser, on_skipped);
    enum XML_Status parsed = XML_Parse(xml->parser, bytes, (int)size, 1);
    if (xml->status != ES_OK)
        return xml->status;
    if (parsed == XML_STATUS_OK)
        return ES_OK;
    note_place(xml);
    enum XML_Error code = XML_GetErrorCode(xml->parser);
    if (code == XML_ERROR_NO_MEMORY)
        return es_fail(xml->err, ES_ERR_NOMEM, "%s: no memory to read XML", xml->maker->file);
    return es_maker_fail(xml->maker, xml->place, xml->err, "XML: %s", XML_ErrorString(code));
}

es_status es_xml_walk(es_topology_maker *maker, const char *bytes, size_t size, es_xml_start *start,
                      es_xml_end *end, void *context, es_error *err)
{
    if (size > INT_MAX)
        return es_fail(err, ES_ERR_LIMIT, "%s: %zu bytes of XML, at most %d", maker->file, size,
                       INT_MAX);
    es_xml xml = {.maker = maker, .start = start, .end = end, .context = context, .err = err};
    xml.parser = XML_ParserCreate(NULL);
    if (xml.parser == NULL)
        return es_fail(err, ES_ERR_NOMEM, "%s: no memory to read XML", maker->file);
    es_text_init(&xml.text, ES_TOPOLOGY_WORD_MAX);
    es_status status = walk(&xml, bytes, size);
    es_text_done(&xml.text);
    XML_ParserFree(xml.parser);
    return status;
}

const char *es_xml_parent(const es_xml *xml)
{
    return xml->depth >= 2 ? xml->path[xml->depth - 2] : "";
}

const char *es_xml_attribute(const char *const *attributes, const char *name)
{
    for (size_t i = 0; attributes[i] != NULL; i += 2)
        if (strcmp(local_name(attributes[i]), name) == 0)
            return attributes[i + 1];
    return NULL;
}

es_status es_xml_expect_parent(const es_xml *xml, const char *name, const char *wanted,
                               es_error *err)
{
    const char *parent = es_xml_parent(xml);
    if (strcmp(parent, wanted) == 0)
        return ES_OK;
    if (wanted[0] == '\0')
        return es_maker_fail(xml->maker, xml->place, err, "<%s> must be the root", name);
    if (parent[0] == '\0')
        return es_maker_fail(xml->maker, xml->place, err, "<%s> is the root, expected inside <%s>",
                             name, wanted);
    return es_maker_fail(xml->maker, xml->place, err, "<%s> is inside <%s>, expected inside <%s>",
                         name, parent, wanted);
}

es_status es_xml_need_attribute(es_xml *xml, const char *element, const char *const *attributes,
                                const char *name, const char **out, es_error *err)
{
    const char *value = es_xml_attribute(attributes, name);
    if (value == NULL || value[0] == '\0')
        return es_maker_fail(xml->maker, xml->place, err, "<%s> has no attribute '%s'", element,
                             name);
    return es_maker_text(xml->maker, value, strlen(value), out, err);
}
