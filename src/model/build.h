/*
 * A graph under construction, shared by build.c (adding) and edit.c (changing).
 */
#ifndef ES_MODEL_BUILD_H
#define ES_MODEL_BUILD_H

#include "model/internal.h"

typedef struct es_build_node {
    Onnx__NodeProto *proto;
    bool own;     /* made here, may be written */
    bool dropped; /* keeps its number, is left out by finish */
} es_build_node;

typedef ES_ARRAY(Onnx__ValueInfoProto *) es_build_infos;

enum { ES_BUILD_IR_VERSION = 8 };

struct es_model_build {
    es_arena *arena;
    const char *name; /* of the model that comes out */
    es_status status; /* of the first failure */
    es_error error;
    Onnx__ModelProto *model;
    bool edits; /* made from a model: names are replaced, what is not needed is dropped */
    ES_ARRAY(Onnx__OperatorSetIdProto *) opsets;
    ES_ARRAY(es_build_node) nodes;
    ES_ARRAY(Onnx__TensorProto *) weights;
    es_build_infos inputs;
    es_build_infos outputs;
    size_t chosen;  /* node that attributes go to; == nodes.count: none */
    es_names taken; /* names of values, once somebody asked */
    bool names_known;
};

/* Remembers the first failure. */
void es_build_keep(es_model_build *build, es_status status);
void es_build_full(es_model_build *build);
char *es_build_text(es_model_build *build, const char *text); /* NULL after a failure */
/* The node, in a copy that may be written; NULL after a failure or when there is none. */
Onnx__NodeProto *es_build_own_node(es_model_build *build, size_t node);
/* Counts name as taken, where that is kept. */
void es_build_take_name(es_model_build *build, const char *name);
/* Leaves out what no output needs. */
es_status es_build_drop_unused(es_model_build *build, es_error *err) ES_MUST_CHECK;

#define ES_BUILD_PUSH(build, array, value)                                                         \
    es_build_keep((build),                                                                         \
                  ES_ARRAY_PUSH((build)->arena, (array), (value), "model", &(build)->error))

/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot stand in them */
#define ES_BUILD_NEW(build, type, init)                                                            \
    __extension__({                                                                                \
        type *new_ = (build)->status == ES_OK ? ES_TAKE_ONE((build)->arena, type) : NULL;          \
        if (new_ != NULL)                                                                          \
            (init)(new_);                                                                          \
        else if ((build)->status == ES_OK)                                                         \
            es_build_full(build);                                                                  \
        new_;                                                                                      \
    })
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
