/* The importers on small documents: what they take, what they refuse and how they say it. */
#include "base/text.h"
#include "es_test.h"
#include "network/network.h"

#include <math.h>

static const char gml[] = "# made by hand\n"
                          "graph [\n"
                          "  label \"Tiny &amp; neat\"\n"
                          "  node [ id 0 label \"K&#246;ln\" Longitude 6.96 Latitude 50.94 ]\n"
                          "  node [ id 1 label \"Node \n two\" graphics [ x 1 y 2 ] ]\n"
                          "  node [ id -2 ]\n"
                          "  edge [ source 0 target 1 LinkSpeedRaw 1e9 LinkLabel \"< 1 [G]\" ]\n"
                          "  edge [ source 1 target 0 length_km 12.5 ]\n"
                          "  edge [ source -2 target -2 ]\n"
                          "]\n";

static const char graphml[] =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"
    "<g:graphml xmlns:g=\"http://graphml.graphdrawing.org/xmlns\">\n"
    " <g:key id=\"a\" for=\"node\" attr.name=\"Latitude\" attr.type=\"double\"/>\n"
    " <g:key id=\"b\" for=\"node\" attr.name=\"Longitude\" attr.type=\"double\"/>\n"
    " <g:key id=\"c\" for=\"edge\" attr.name=\"LinkSpeedRaw\" attr.type=\"double\"/>\n"
    " <g:key id=\"d\" for=\"all\" attr.name=\"label\" attr.type=\"string\"/>\n"
    " <g:graph edgedefault=\"directed\">\n"
    "  <g:data key=\"d\">Tiny</g:data>\n"
    "  <g:edge source=\"x\" target=\"y\"><g:data key=\"c\"> 1e9 </g:data></g:edge>\n"
    "  <g:edge source=\"y\" target=\"x\" directed=\"true\"/>\n"
    "  <g:node id=\"x\"><g:data key=\"a\">50.94</g:data><g:data key=\"b\">6.96</g:data>"
    "<g:data key=\"d\">K\xc3\xb6ln &amp; more</g:data></g:node>\n"
    "  <g:node id=\"y\"/>\n"
    " </g:graph>\n"
    "</g:graphml>\n";

static const char sndlib[] = "?SNDlib native format; type: network; version: 1.0\n"
                             "# network tiny\n"
                             "LINKS (\n"
                             "  L1 ( A B ) 0.00 0.00 0.00 0.00 ( 622.0 9.0 155.0 3.0 )\n"
                             "  L2 ( B C ) 40.00 0.00 0.00 0.00 ( 622.0 9.0 )\n"
                             "  L3 ( A C ) 0.00 0.00 0.00 0.00 ( )\n"
                             ")\n"
                             "NODES (\n"
                             "  A ( 6.96 50.94 ) # coloured\n"
                             "  B\n"
                             "  C ( -1.0 -2.0 )\n"
                             ")\n"
                             "DEMANDS (\n"
                             "  D1 ( A C ) 2 5.5 UNLIMITED\n"
                             ")\n"
                             "ADMISSIBLE_PATHS (\n"
                             "  D1 ( P0 ( L1 L2 ) )\n"
                             ")\n"
                             "META (\n"
                             "  origin = anyone ( really )\n"
                             "  unit = MBITPERSEC\n"
                             ")\n";

static const char sndlib_xml[] =
    "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n"
    "<!-- <graphml> is not here -->\n"
    "<network xmlns=\"http://sndlib.zib.de/network\" version=\"1.0\">\n"
    " <meta><unit>MBITPERSEC</unit></meta>\n"
    " <networkStructure>\n"
    "  <nodes coordinatesType=\"geographical\">\n"
    "   <node id=\"A\"><coordinates><x>6.96</x><y>50.94</y></coordinates></node>\n"
    "   <node id=\"B\xf6\"/>\n"
    "  </nodes>\n"
    "  <links>\n"
    "   <link id=\"L\"><source>A</source><target>B\xf6</target>\n"
    "    <preInstalledModule><capacity>155</capacity><cost>0</cost></preInstalledModule>\n"
    "    <additionalModules><addModule><capacity>40</capacity><cost>1</cost></addModule>\n"
    "    </additionalModules></link>\n"
    "  </links>\n"
    " </networkStructure>\n"
    " <demands><demand id=\"D\"><source>B\xf6</source><target>A</target>"
    "<demandValue>3</demandValue></demand></demands>\n"
    "</network>\n";

static const char json[] =
    "{\"directed\": false, \"graph\": {\"name\": \"tiny\", \"demands\": {\"7\": {\"b\": 4.5}}},\n"
    " \"nodes\": [{\"id\": 7, \"name\": \"K\xc3\xb6ln\", \"pos\": [6.96, 50.94]},\n"
    "             {\"id\": \"b\", \"extra\": [1, 2]}],\n"
    " \"links\": [{\"source\": 7, \"target\": \"b\", \"dist\": 12.5},\n"
    "             {\"source\": \"b\", \"target\": \"7\"}]}\n";

static const struct {
    const char *text;
    size_t size;
    es_topology_format format;
} samples[] = {
    {gml, sizeof gml - 1, ES_TOPOLOGY_GML},
    {graphml, sizeof graphml - 1, ES_TOPOLOGY_GRAPHML},
    {sndlib, sizeof sndlib - 1, ES_TOPOLOGY_SNDLIB},
    {sndlib_xml, sizeof sndlib_xml - 1, ES_TOPOLOGY_SNDLIB_XML},
    {json, sizeof json - 1, ES_TOPOLOGY_JSON},
};
enum { SAMPLE_COUNT = sizeof samples / sizeof samples[0] };

typedef struct fixture {
    es_arena *arena;
    es_error err;
} fixture;

static int setup(void **state)
{
    static fixture f;
    f = (fixture){.arena = es_arena_new((size_t)64 << 20)};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    es_arena_free(((fixture *)*state)->arena);
    return 0;
}

static const es_topology *parse(fixture *f, const char *text)
{
    const es_topology *t = NULL;
    assert_ok_err(
        es_topology_parse(f->arena, "t", text, strlen(text), ES_TOPOLOGY_AUTO, &t, &f->err),
        f->err);
    return t;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * (1.0 + fabs(b));
}

static void gml_is_read(void **state)
{
    const es_topology *t = parse(*state, gml);
    assert_int_equal(t->format, ES_TOPOLOGY_GML);
    assert_string_equal(t->name, "Tiny & neat");
    assert_false(t->directed);
    assert_int_equal(t->node_count, 3);
    assert_string_equal(t->nodes[0].id, "0");
    assert_string_equal(t->nodes[0].label, "K\xc3\xb6ln");
    assert_true(near(t->nodes[0].latitude_deg, 50.94) && near(t->nodes[0].longitude_deg, 6.96));
    assert_true(t->nodes[0].has_position);
    assert_false(t->nodes[1].has_position);
    assert_string_equal(t->nodes[1].label, "Node \n two");
    assert_string_equal(t->nodes[2].label, "-2");
    assert_int_equal(t->edge_count, 3);
    assert_true(near(t->edges[0].bandwidth_bps, 1e9));
    assert_false(t->edges[0].has_length);
    assert_true(t->edges[1].has_length && near(t->edges[1].length_km, 12.5));
    assert_int_equal(t->self_loop_count, 1);
    assert_int_equal(t->multi_edge_count, 1);
}

static void graphml_is_read(void **state)
{
    const es_topology *t = parse(*state, graphml);
    assert_int_equal(t->format, ES_TOPOLOGY_GRAPHML);
    assert_string_equal(t->name, "Tiny");
    assert_true(t->directed);
    assert_int_equal(t->node_count, 2);
    assert_string_equal(t->nodes[0].label, "K\xc3\xb6ln & more");
    assert_true(near(t->nodes[0].latitude_deg, 50.94) && near(t->nodes[0].longitude_deg, 6.96));
    assert_string_equal(t->nodes[1].label, "y");
    assert_int_equal(t->edge_count, 2);
    assert_true(near(t->edges[0].bandwidth_bps, 1e9));
    assert_int_equal(t->multi_edge_count, 0); /* there and back are two directed edges */
}

static void sndlib_text_is_read(void **state)
{
    const es_topology *t = parse(*state, sndlib);
    assert_int_equal(t->format, ES_TOPOLOGY_SNDLIB);
    assert_string_equal(t->name, "tiny");
    assert_int_equal(t->node_count, 3);
    assert_true(near(t->nodes[0].longitude_deg, 6.96) && near(t->nodes[0].latitude_deg, 50.94));
    assert_false(t->nodes[1].has_position);
    assert_int_equal(t->edge_count, 3);
    assert_true(near(t->edges[0].bandwidth_bps, 155e6)); /* the smallest module */
    assert_true(near(t->edges[1].bandwidth_bps, 40e6));  /* what is installed */
    assert_true(near(t->edges[2].bandwidth_bps, 0.0));
    assert_int_equal(t->demand_count, 1);
    assert_int_equal(t->demands[0].from, 0);
    assert_int_equal(t->demands[0].to, 2);
    assert_true(near(t->demands[0].value, 5.5) && near(t->demands[0].rate_bps, 11e6));
}

static void sndlib_xml_is_read(void **state)
{
    const es_topology *t = parse(*state, sndlib_xml);
    assert_int_equal(t->format, ES_TOPOLOGY_SNDLIB_XML);
    assert_int_equal(t->node_count, 2);
    assert_string_equal(t->nodes[1].id, "B\xc3\xb6"); /* Latin-1 became UTF-8 */
    assert_true(near(t->nodes[0].longitude_deg, 6.96) && t->nodes[0].has_position);
    assert_int_equal(t->edge_count, 1);
    assert_true(near(t->edges[0].bandwidth_bps, 155e6));
    assert_int_equal(t->demand_count, 1);
    assert_true(near(t->demands[0].rate_bps, 3e6));
}

static void json_is_read(void **state)
{
    const es_topology *t = parse(*state, json);
    assert_int_equal(t->format, ES_TOPOLOGY_JSON);
    assert_string_equal(t->name, "tiny");
    assert_int_equal(t->node_count, 2);
    assert_string_equal(t->nodes[0].id, "7");
    assert_string_equal(t->nodes[0].label, "K\xc3\xb6ln");
    assert_true(near(t->nodes[0].latitude_deg, 50.94));
    assert_int_equal(t->edge_count, 2);
    assert_true(near(t->edges[0].length_km, 12.5));
    assert_int_equal(t->multi_edge_count, 1);
    assert_int_equal(t->demand_count, 1);
    assert_true(near(t->demands[0].value, 4.5) && near(t->demands[0].rate_bps, 0.0));
}

/* A wrong document and what the error must contain. */
typedef struct wrong {
    const char *text;
    const char *words;
} wrong;

static void refuse(fixture *f, const wrong *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const es_topology *t = NULL;
        es_status status = es_topology_parse(f->arena, "t", cases[i].text, strlen(cases[i].text),
                                             ES_TOPOLOGY_AUTO, &t, &f->err);
        if (status != ES_ERR_PARSE)
            fail_msg("case %zu: got '%s' (%s), wanted '%s'", i, es_status_text(status),
                     es_error_text(&f->err), cases[i].words);
        if (strstr(es_error_text(&f->err), cases[i].words) == NULL)
            fail_msg("case %zu: '%s' does not contain '%s'", i, es_error_text(&f->err),
                     cases[i].words);
        assert_null(t);
    }
}
#define REFUSE(f, cases) refuse((f), (cases), sizeof(cases) / sizeof((cases)[0]))

static void bad_gml_is_refused(void **state)
{
    static const wrong cases[] = {
        {"graph [\n node [ id 0 ]\n edge [ source 0 target 9 ]\n]", "t:3:2: edge names node '9'"},
        {"graph [\n node [ id 0 ]\n node [ id 0 ]\n]", "t:3:2: node id '0' is given twice"},
        {"graph [\n node [ id 0 Latitude north Longitude 1 ]\n]", "t:2:23: value of 'Latitude'"},
        {"graph [\n node [ id 0 Latitude \"x\" Longitude 1 ]\n]", "t:2:23: Latitude='x' must be"},
        {"graph [ node [ id 0 Latitude 91 Longitude 1 ] ]", "Latitude=91 must be in -90..90"},
        {"graph [ node [ id 0 Latitude 1 Longitude 1e99 ] ]", "Longitude=1e+99 must be in"},
        {"graph [ node [ id 0 Latitude -NAN Longitude 1 ] ]", "'-NAN' must be a finite number"},
        {"graph [ node [ id 0 Latitude +INF Longitude 1 ] ]", "'+INF' must be a finite number"},
        {"graph [ node [ id 0 Latitude 1e999 Longitude 1 ] ]", "'1e999' must be a finite"},
        {"graph [ node [ id 0 Latitude 1 ] ]", "has a latitude but no longitude"},
        {"graph [ node [ id 0 Latitude 1 Latitude 2 Longitude 1 ] ]", "Latitude is given twice"},
        {"graph [ node [ id 0.5 ] ]", "t:1:19: id='0.5' must be an integer"},
        {"graph [ node [ id 99999999999999999999 ] ]", "must be an integer"},
        {"graph [ node [ label \"a\" ] ]", "t:1:9: node has no id"},
        {"graph [ node [ id 0 ] edge [ source 0 ] ]", "edge has no target"},
        {"graph [ node [ id 0 ] edge [ source 0 target 0 LinkSpeedRaw -1 ] ]",
         "LinkSpeedRaw=-1 must be in 0..1e+18"},
        {"graph [\n node [ id 0\n node [ id 1 ] ]", "node inside the node of line 2"},
        {"graph [\n node [ id 0 ]\n", "ends inside the list of line 1"},
        {"graph [ node [ id 0 ] ] ]", "t:1:25: ']' closes nothing"},
        {"graph [ ] graph [ ]", "a second graph"},
        {"graph [ node [ id 0 label \"open ] ]", "text is never closed"},
        {"graph [ node [ id ] ]", "value of 'id' must be"},
        {"graph [ [ ] ]", "expected a key or ']', found '['"},
        {"graph [ 7 7 ]", "expected a key or ']', found a value"},
        {"graph [ directed 2 ]", "directed='2' must be 0 or 1"},
        {"graph [ node [ id 0 ] ? ]", "byte 0x3f is not GML"},
        {"Creator \"me\"", "has no 'graph [ ... ]'"},
        {"graph [ ]", "t: has no nodes (read as gml)"},
    };
    REFUSE(*state, cases);
}

#define GRAPHML(inside)                                                                            \
    "<graphml>\n<key id=\"k\" for=\"node\" attr.name=\"Latitude\"/>\n"                             \
    "<graph edgedefault=\"undirected\">\n" inside "</graph></graphml>"

static void bad_graphml_is_refused(void **state)
{
    static const wrong cases[] = {
        {GRAPHML("<node id=\"a\"/>\n<edge source=\"a\" target=\"q\"/>"),
         "t:5:1: edge names node 'q'"},
        {GRAPHML("<node id=\"a\"/><node id=\"a\"/>"), "node id 'a' is given twice"},
        {GRAPHML("<node id=\"\"/>"), "<node> has no attribute 'id'"},
        {GRAPHML("<node/>"), "t:4:1: <node> has no attribute 'id'"},
        {GRAPHML("<node id=\"a\"><data key=\"k\">far north</data></node>"),
         "Latitude='far north' must be a finite number"},
        {GRAPHML("<node id=\"a\"><data key=\"k\">NaN</data></node>"), "must be a finite number"},
        {GRAPHML("<node id=\"a\"><data key=\"k\"></data></node>"), "must be a finite number"},
        {GRAPHML("<node id=\"a\"><data key=\"k\">1e4</data></node>"), "must be in -90..90"},
        {GRAPHML("<node id=\"a\"><data key=\"k\">4</data></node>"), "a latitude but no longitude"},
        {GRAPHML("<node id=\"a\"><data key=\"z\">4</data></node>"), "key='z', which no <key>"},
        {GRAPHML("<node id=\"a\"><data>4</data></node>"), "key='', which no <key>"},
        {GRAPHML("<node id=\"a\"><node id=\"b\"/></node>"),
         "<node> is inside <node>, expected inside <graph>"},
        {GRAPHML("<node id=\"a\"><graph edgedefault=\"directed\"/></node>"),
         "<graph> is inside <node>, expected inside <graphml>"},
        {GRAPHML("<edge source=\"a\"/>"), "<edge> has no attribute 'target'"},
        {GRAPHML("<node id=\"a\"/><edge source=\"a\" target=\"a\" directed=\"true\"/>"),
         "mixed graphs are not supported"},
        {GRAPHML("<hyperedge/>"), "<hyperedge> is not supported"},
        {GRAPHML("<node id=\"a\"/></edge>"), "XML: mismatched tag"},
        {"<graphml><node id=\"a\"/></graphml>", "<node> is inside <graphml>, expected"},
        {"<graphml><graph><node id=\"a\"/></graph></graphml>", "edgedefault=''"},
        {"<graphml><graph edgedefault=\"both\"/></graphml>", "edgedefault='both'"},
        {"<graphml><graph edgedefault=\"directed\"/><graph edgedefault=\"directed\"/></graphml>",
         "a second <graph>"},
        {"<graphml><key/></graphml>", "<key> has no attribute 'id'"},
        {"<graphml><key id=\"k\"/><key id=\"k\"/></graphml>", "declared twice"},
        {"<graphml><key id=\"k\" attr.name=\"Latitude\"><default>4</default></key></graphml>",
         "<default> of key 'Latitude' is not supported"},
        {"<graphml></graphml>", "t: has no nodes (read as graphml)"},
        {"<graphml>", "XML: no element found"},
        {"<html><graphml/></html>", "not a topology"},
        {GRAPHML("<node id=\"&undeclared;\"/>"), "XML: undefined entity"},
    };
    REFUSE(*state, cases);
}

#define SNDLIB(inside) "?SNDlib native format; type: network; version: 1.0\n" inside
#define SNDLIB_LINK(inside) SNDLIB("NODES (\n A\n B\n)\nLINKS (\n " inside "\n)\n")

static void bad_sndlib_is_refused(void **state)
{
    static const wrong cases[] = {
        {SNDLIB_LINK("L ( A Q ) 0 0 0 0 ( )"), "t:7:2: edge names node 'Q'"},
        {SNDLIB_LINK("L ( A ) 0 0 0 0 ( )"), "t:7:8: found ')', expected the second node"},
        {SNDLIB_LINK("L A B 0 0 0 0 ( )"), "found 'A', expected '(' before the two nodes"},
        {SNDLIB_LINK("L ( A B ) many 0 0 0 ( )"), "t:7:12: capacity='many' must be a finite"},
        {SNDLIB_LINK("L ( A B ) nan 0 0 0 ( )"), "capacity='nan' must be a finite"},
        {SNDLIB_LINK("L ( A B ) -3 0 0 0 ( 5 5 )"), "capacity=-3 must be in"},
        {SNDLIB_LINK("L ( A B ) 0 0 0 ( )"), "found '(', expected setup_cost"},
        {SNDLIB_LINK("L ( A B ) 0 0 0 0 ( 5 )"), "found ')', expected module cost"},
        {SNDLIB("NODES (\n A ( 1 2 )\n A ( 1 2 )\n)"), "t:4:2: node id 'A' is given twice"},
        {SNDLIB("NODES (\n A ( east 2 )\n)"), "t:3:6: longitude='east' must be a finite number"},
        {SNDLIB("NODES (\n A ( 1 1e999 )\n)"), "latitude='1e999' must be"},
        {SNDLIB("NODES (\n A ( 1 2\n)"), "the file ends, expected an id or ')'"},
        {SNDLIB("NODES (\n A ( 1 2 3 )\n)"), "found '3', expected ')' after the coordinates"},
        {SNDLIB("NODES (\n A ( 1 )\n)"), "found ')', expected latitude"},
        {SNDLIB("NODES\n A"), "found 'A', expected '(' after the name of a section"},
        {SNDLIB("NODES ( A )\nDEMANDS (\n D ( A A ) 1 -5 UNLIMITED\n)"), "demand value -5"},
        {SNDLIB("NODES ( A )\nDEMANDS (\n D ( A Q ) 1 5 UNLIMITED\n)"), "demand names node 'Q'"},
        {SNDLIB("NODES ( A )\nDEMANDS (\n D ( A A ) 1 5\n)"), "expected max_path_length"},
        {SNDLIB("NODES ( A )\nDEMANDS (\n D ( A A ) -1 5 1\n)"), "expected a routing_unit >= 0"},
        {SNDLIB("META (\n unit MBITPERSEC\n)"), "expected '=' after a name of META"},
        {SNDLIB("META (\n unit = MBITPERSEC\n"), "the file ends, expected ')' after META"},
        {SNDLIB("PATHS (\n ( ( )\n"), "the file ends, expected ')' after a section"},
        {SNDLIB(") ("), "found ')', expected the name of a section"},
        {SNDLIB("META ( unit = GBITPERSEC\n)\nNODES ( A B )\nLINKS ( L ( A B ) 1e15 0 0 0 ( ) )"),
         "is above 1e+18"},
        {SNDLIB(""), "t: has no nodes (read as sndlib)"},
        {"?SNDlib", "t:1: expected the first line '?SNDlib native format"},
    };
    REFUSE(*state, cases);
}

#define XML(inside) "<network>\n" inside "\n</network>"

static void bad_sndlib_xml_is_refused(void **state)
{
    static const wrong cases[] = {
        {XML("<node id=\"a\"/>"), "t:2:1: <node> is inside <network>, expected inside <nodes>"},
        {XML("<nodes><node/></nodes>"), "<node> has no attribute 'id'"},
        {XML("<nodes><node id=\"a\"><coordinates><x>1</x></coordinates></node></nodes>"),
         "node 'a' has <x> but no <y>"},
        {XML("<nodes><node id=\"a\"><coordinates><x>one</x></coordinates></node></nodes>"),
         "x='one' must be a finite number"},
        {XML("<nodes coordinatesType=\"geographical\"><node id=\"a\"><coordinates><x>181</x>"
             "<y>1</y></coordinates></node></nodes>"),
         "x=181 must be in -180..180"},
        {XML("<nodes><node id=\"a\"/></nodes>\n<links><link id=\"l\"><source>a</source></link>"
             "</links>"),
         "t:3:8: edge has no target"},
        {XML("<nodes><node id=\"a\"/></nodes>\n<links><link id=\"l\"><source>a</source>"
             "<target>q</target></link></links>"),
         "t:3:8: edge names node 'q'"},
        {XML("<links><link id=\"l\"><source>a</source><source>a</source></link></links>"),
         "<source> is given twice"},
        {XML("<links><link id=\"l\"><preInstalledModule><capacity>-1</capacity>"
             "</preInstalledModule></link></links>"),
         "capacity=-1 must be >= 0"},
        {XML("<demands><demand id=\"d\"><source>a</source><target>b</target></demand></demands>"),
         "<demand> has no <demandValue>"},
        {XML("<demands><demand id=\"d\"><demandValue>inf</demandValue></demand></demands>"),
         "demandValue='inf' must be a finite number"},
        {XML("<nodes><node id=\"a\"></nodes>"), "XML: mismatched tag"},
        {"<network/>", "has no nodes (read as sndlib-xml)"},
    };
    REFUSE(*state, cases);
}

#define JSON_NODE(inside) "{\"nodes\": [\n" inside "\n], \"edges\": []}"
#define JSON_EDGE(inside) "{\"nodes\": [{\"id\": 1}],\n\"edges\": [" inside "]}"

static void bad_json_is_refused(void **state)
{
    static const wrong cases[] = {
        {"{\"nodes\": [], \"edges\": []}", "t: has no nodes (read as json)"},
        {"{\"nodes\": {}}", "t:1:"},
        {"{\"edges\": []}", "nodes"},
        {"{\"nodes\": [{\"id\": 1}]}", "edges"},
        {"{\"nodes\": [{\"id\": 1}], \"edges\": [], \"links\": []}", "both 'edges' and 'links'"},
        {JSON_NODE("{}"), "t:2:"},
        {JSON_NODE("5"), "t:2:1"},
        {JSON_NODE("{\"id\": 1.5}"), "must be a text or an integer"},
        {JSON_NODE("{\"id\": \"\"}"), "node has no id"},
        {JSON_NODE("{\"id\": 1}, {\"id\": \"1\"}"), "node id '1' is given twice"},
        {JSON_NODE("{\"id\": 1, \"pos\": [1]}"), "has 1 values, expected [longitude, latitude]"},
        {JSON_NODE("{\"id\": 1, \"pos\": [1, \"x\"]}"), "t:2:"},
        {JSON_NODE("{\"id\": 1, \"pos\": 7}"), "t:2:"},
        {JSON_NODE("{\"id\": 1, \"pos\": [1, 2], \"lat\": 1, \"lon\": 1}"), "given twice"},
        {JSON_NODE("{\"id\": 1, \"lat\": 95, \"lon\": 1}"), "lat=95 must be in -90..90"},
        {JSON_NODE("{\"id\": 1, \"lat\": [], \"lon\": 1}"), "must be a number"},
        {JSON_NODE("{\"id\": 1, \"lat\": NaN}"), "t:2:"},
        {JSON_NODE("{\"id\": 1, \"lat\": 1e999}"), "t:2:"},
        {JSON_EDGE("{\"source\": 1}"), "target"},
        {JSON_EDGE("{\"source\": 1, \"target\": 2}"), "t:2:11: edge names node '2'"},
        {JSON_EDGE("{\"source\": 1, \"target\": 1, \"dist\": -1}"), "dist=-1 must be in"},
        {JSON_EDGE("{\"source\": 1, \"target\": 1, \"dist\": \"far\"}"), "dist='far' must be"},
        {"{\"nodes\": [{\"id\": 1}], \"edges\": [], \"graph\": {\"demands\": {\"1\": 3}}}", "t:1:"},
        {"{\"nodes\": [{\"id\": 1}], \"edges\": [], \"graph\": {\"demands\": {\"1\": {\"1\": "
         "-3}}}}",
         "t:1:"},
        {"{\"nodes\": [{\"id\": 1}], \"edges\": [], \"directed\": 1}", "directed"},
        {"{\"nodes\": [{\"id\": 1}", "t:1:"},
    };
    REFUSE(*state, cases);
}

static void other_files_are_refused(void **state)
{
    fixture *f = *state;
    static const wrong cases[] = {
        {"", "not a topology: expected GML"},
        {"   \n", "not a topology"},
        {"[1, 2]", "not a topology"},
        {"<?xml version=\"1.0\"?><svg/>", "not a topology"},
        {"<!-- never closed", "not a topology"},
        {"plain words", "value of 'plain' must be"},
    };
    REFUSE(f, cases);
    const es_topology *t = NULL;
    assert_fails(es_topology_parse(f->arena, "t", "graph\0[", 7, ES_TOPOLOGY_AUTO, &t, &f->err),
                 ES_ERR_PARSE, f->err, "t: byte 5 is NUL");
    assert_fails(es_topology_parse(f->arena, "t", gml, sizeof gml - 1, ES_TOPOLOGY_FORMAT_COUNT, &t,
                                   &f->err),
                 ES_ERR_ARG, f->err, "format 6 is unknown");
    assert_fails(
        es_topology_parse(f->arena, "t", gml, sizeof gml - 1, ES_TOPOLOGY_JSON, &t, &f->err),
        ES_ERR_PARSE, f->err, "t:1:");
    assert_fails(es_topology_import(f->arena, "no/such/file", ES_TOPOLOGY_AUTO, &t, &f->err),
                 ES_ERR_IO, f->err, "no/such/file");
    assert_null(t);
}

/* A cut file is never taken for a whole one, except SNDlib text between two sections. */
static void cut_files_are_refused_with_a_line(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++)
        for (size_t size = 0; size + 2 < samples[i].size; size++) {
            const es_topology *t = NULL;
            es_status status = es_topology_parse(f->arena, "cut", samples[i].text, size,
                                                 samples[i].format, &t, &f->err);
            if (status == ES_OK && samples[i].format == ES_TOPOLOGY_SNDLIB)
                continue;
            if (status != ES_ERR_PARSE)
                fail_msg("%s cut at %zu: %s", es_topology_format_names[samples[i].format], size,
                         es_error_text(&f->err));
            if (strstr(es_error_text(&f->err), "cut:") == NULL)
                fail_msg("no place in '%s'", es_error_text(&f->err));
            assert_null(t);
        }
}

/* Any one byte replaced: an answer or an error, never a crash, never an index out of range. */
static void damaged_files_are_survived(void **state)
{
    fixture *f = *state;
    static const char bytes[] = {'[', ']', '(', ')', '<', '>', '"', '9', '-', ' ', '\n', '\xff'};
    char copy[2048];
    for (size_t i = 0; i < SAMPLE_COUNT; i++)
        for (size_t at = 0; at < samples[i].size; at++) {
            assert_true(samples[i].size < sizeof copy);
            memcpy(copy, samples[i].text, samples[i].size);
            copy[at] = bytes[(at + i) % sizeof bytes];
            const es_topology *t = NULL;
            es_arena_reset(f->arena);
            if (es_topology_parse(f->arena, "damaged", copy, samples[i].size, ES_TOPOLOGY_AUTO, &t,
                                  &f->err) != ES_OK)
                continue;
            for (uint32_t e = 0; e < t->edge_count; e++)
                assert_true(t->edges[e].a < t->node_count && t->edges[e].b < t->node_count);
        }
}

static void xml_cannot_declare_entities(void **state)
{
    fixture *f = *state;
    static const wrong cases[] = {
        /* a billion laughs */
        {"<?xml version=\"1.0\"?>\n<!DOCTYPE graphml [\n <!ENTITY a \"ha\">\n"
         " <!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">\n"
         " <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\">\n"
         "]>\n<graphml>&c;</graphml>",
         "t:3:13: declares entity 'a'"},
        {"<!DOCTYPE network [ <!ENTITY x SYSTEM \"file:///etc/passwd\"> ]>\n<network>&x;</network>",
         "declares entity 'x'"},
        {"<!DOCTYPE network [ <!ENTITY % p \"q\"> ]>\n<network/>", "declares entity 'p'"},
        {"<!DOCTYPE network SYSTEM \"network.dtd\">\n<network>&later;</network>",
         "entity 'later' is not known"},
    };
    REFUSE(f, cases);
}

static void depth_and_size_are_bounded(void **state)
{
    fixture *f = *state;
    ES_CLEANUP(es_arena_free_p) es_arena *arena = es_arena_new((size_t)8 << 20);
    const es_topology *t = NULL;
    es_text text;
    es_text_init(&text, (size_t)4 << 20);
    es_text_append(&text, "graph [ ");
    for (int i = 0; i < 100000; i++)
        es_text_append(&text, "a [ ");
    assert_fails(
        es_topology_parse(arena, "t", text.bytes, text.size, ES_TOPOLOGY_AUTO, &t, &f->err),
        ES_ERR_PARSE, f->err, "more than 64 nested lists");
    es_text_clear(&text);
    es_text_append(&text, "<graphml>");
    for (int i = 0; i < 100000; i++)
        es_text_append(&text, "<a>");
    assert_fails(
        es_topology_parse(arena, "t", text.bytes, text.size, ES_TOPOLOGY_AUTO, &t, &f->err),
        ES_ERR_PARSE, f->err, "more than 64 nested elements");
    es_text_clear(&text);
    es_text_append(&text, "<network><nodes><node id=\"a\"><coordinates><x>");
    for (int i = 0; i < 100000; i++)
        es_text_append(&text, "1");
    es_text_append(&text, "</x></coordinates></node></nodes></network>");
    assert_fails(
        es_topology_parse(arena, "t", text.bytes, text.size, ES_TOPOLOGY_AUTO, &t, &f->err),
        ES_ERR_PARSE, f->err, "text of <x> is over 65536 bytes");
    es_text_done(&text);
    ES_CLEANUP(es_arena_free_p) es_arena *small = es_arena_new(200);
    assert_fails(es_topology_parse(small, "t", gml, sizeof gml - 1, ES_TOPOLOGY_AUTO, &t, &f->err),
                 ES_ERR_NOMEM, f->err, "200");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(gml_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(graphml_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(sndlib_text_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(sndlib_xml_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(json_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_gml_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_graphml_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_sndlib_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_sndlib_xml_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_json_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(cut_files_are_refused_with_a_line, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_files_are_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(xml_cannot_declare_entities, setup, teardown),
        cmocka_unit_test_setup_teardown(depth_and_size_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}
