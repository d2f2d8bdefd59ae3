/* Catalogue, second half: pipelines and their stages, grouped by task. */
#include "scenario/internal.h"

#include <math.h>

static const char *const input_names[ES_STAGE_INPUT_COUNT] = {
    [ES_STAGE_INPUT_PREVIOUS] = "previous",
    [ES_STAGE_INPUT_REQUEST] = "request",
};

/* What a stage does when a request does not leave after it. */
static const double EXIT_NEVER = 2;

static es_status read_reach(const es_doc *map, const es_stage *before, double *out, es_error *err)
{
    if (before != NULL && before->exit_threshold < EXIT_NEVER && es_doc_find(map, "reach") == NULL)
        return es_doc_fail(map, err, "reach is missing: the stage before has an exit_threshold");
    *out = before == NULL ? 1 : before->reach;
    ES_TRY(es_scenario_field_get_positive(map, "reach", 1, out, err));
    if (before == NULL && *out < 1)
        return es_doc_fail(es_doc_find(map, "reach"), err,
                           "%g must be 1: every request reaches the first stage", *out);
    if (before != NULL && *out > before->reach)
        return es_doc_fail(es_doc_find(map, "reach"), err,
                           "%g must be <= %g, the reach of the stage before", *out, before->reach);
    return ES_OK;
}

/* Where the stage's input comes from and how large it is. */
static es_status read_input(const es_reader *reader, const es_doc *map, const es_task *task,
                            const es_stage *before, es_stage *stage, es_error *err)
{
    size_t input = before == NULL ? ES_STAGE_INPUT_REQUEST : ES_STAGE_INPUT_PREVIOUS;
    ES_TRY(es_doc_get_word(map, "input", input_names, ES_STAGE_INPUT_COUNT, &input, err));
    stage->input = (es_stage_input)input;
    if (stage->input == ES_STAGE_INPUT_REQUEST) {
        stage->input_bytes = task->input_bytes;
        return ES_OK;
    }
    if (before == NULL)
        return es_doc_fail(es_doc_find(map, "input"), err,
                           "the first stage has no previous one: its input is the request");
    const es_segment *head = &reader->segment_items[before->segment.index];
    if (!reader->segment_output_given[before->segment.index])
        return es_doc_fail(map, err, "segment '%s' needs output_bytes: this stage takes its output",
                           head->name);
    stage->input_bytes = head->output_bytes;
    return ES_OK;
}

static es_status read_stage(es_reader *reader, const es_doc *map, const es_task *task,
                            const es_stage *before, es_stage *stage, es_error *err)
{
    ES_TRY(
        ES_DOC_EXPECT_KEYS(map, err, "segment", "reach", "input", "exit_threshold", "exit_output"));
    ES_TRY(es_scenario_names_need(&reader->segments, map, "segment", &stage->segment.index, err));
    ES_TRY(read_reach(map, before, &stage->reach, err));
    ES_TRY(read_input(reader, map, task, before, stage, err));
    stage->exit_threshold = EXIT_NEVER;
    ES_TRY(es_doc_get_number(map, "exit_threshold", 0, 1, &stage->exit_threshold, err));
    int64_t output = 0;
    ES_TRY(es_doc_get_int(map, "exit_output", 0, 1000, &output, err));
    stage->exit_output = (uint32_t)output;
    return ES_OK;
}

/* A segment whose first output is an answer, and nothing else goes on from there, must put out
 * what the task asks; a segment that says nothing is taken to do so. */
static es_status check_answer(const es_reader *reader, const es_doc *map, const es_task *task,
                              const es_stage *stage, const es_stage *next, es_error *err)
{
    if (next != NULL && next->input == ES_STAGE_INPUT_PREVIOUS)
        return ES_OK;
    es_segment *segment = &reader->segment_items[stage->segment.index];
    if (!reader->segment_output_given[stage->segment.index]) {
        if (isnan(segment->output_bytes))
            segment->output_bytes = task->output_bytes;
        return ES_OK;
    }
    double difference = segment->output_bytes - task->output_bytes;
    if (stage->exit_output == 0 && (difference < 0 || difference > 0))
        return es_doc_fail(map, err,
                           "segment '%s' puts out %.17g bytes (output_bytes) where task '%s' "
                           "answers with %.17g",
                           segment->name, segment->output_bytes, task->name, task->output_bytes);
    return ES_OK;
}

static es_status read_stages(es_reader *reader, const es_doc *list, const es_task *task,
                             es_pipeline *pipeline, es_error *err)
{
    size_t count = list->as.list.count;
    if (count > ES_STAGE_COUNT_MAX)
        return es_doc_fail(list, err, "%zu stages are more than the %d that a pipeline may have",
                           count, ES_STAGE_COUNT_MAX);
    es_stage *stages = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, count, sizeof *stages, "stages", &stages, err));
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_stage(reader, list->as.list.items[i], task, i == 0 ? NULL : &stages[i - 1],
                          &stages[i], err));
    for (size_t i = 0; i < count; i++)
        ES_TRY(check_answer(reader, list->as.list.items[i], task, &stages[i],
                            i + 1 < count ? &stages[i + 1] : NULL, err));
    if (stages[count - 1].exit_threshold < EXIT_NEVER)
        return es_doc_fail(es_doc_find(list->as.list.items[count - 1], "exit_threshold"), err,
                           "the last stage has no later one to be spared");
    pipeline->stages = stages;
    pipeline->stage_count = (uint32_t)count;
    return ES_OK;
}

static es_status read_pipeline(es_reader *reader, const es_doc *map, es_pipeline *pipeline,
                               es_error *err)
{
    ES_TRY(ES_DOC_EXPECT_KEYS(map, err, "name", "task", "quality", "stages"));
    ES_TRY(es_scenario_names_add(reader->arena, &reader->pipelines, map, &pipeline->name, err));
    ES_TRY(es_scenario_names_need(&reader->tasks, map, "task", &pipeline->task.index, err));
    ES_TRY(es_doc_need_number(map, "quality", 0, 1, &pipeline->quality, err));
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(map, "stages", &list, err));
    return read_stages(reader, list, &reader->scenario->tasks[pipeline->task.index], pipeline, err);
}

/* Sorts by task, keeping the order of the document within a task. */
static es_status group(es_reader *reader, const es_doc *list, const es_pipeline *read, size_t count,
                       es_error *err)
{
    es_scenario *scenario = reader->scenario;
    uint32_t *first = NULL;
    uint32_t *next = NULL;
    es_pipeline *sorted = NULL;
    ES_TRY(es_scenario_field_take(reader->arena, (size_t)scenario->task_count + 1, sizeof *first,
                                  "pipelines", &first, err));
    ES_TRY(es_scenario_field_take(reader->scratch, scenario->task_count, sizeof *next, "pipelines",
                                  &next, err));
    ES_TRY(es_scenario_field_take(reader->arena, count, sizeof *sorted, "pipelines", &sorted, err));
    ES_TRY(es_scenario_field_take(reader->scratch, count, sizeof(const es_doc *), "pipelines",
                                  &reader->pipeline_places, err));
    for (size_t i = 0; i < count; i++)
        first[read[i].task.index + 1]++;
    for (uint32_t t = 0; t < scenario->task_count; t++) {
        if (first[t + 1] == 0)
            return es_doc_fail(reader->task_places[t], err, "task '%s' has no pipeline",
                               scenario->tasks[t].name);
        first[t + 1] += first[t];
        next[t] = first[t];
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t place = next[read[i].task.index]++;
        sorted[place] = read[i];
        reader->pipeline_places[place] = list->as.list.items[i];
    }
    scenario->pipelines = sorted;
    scenario->pipeline_count = (uint32_t)count;
    scenario->task_pipelines = first;
    return ES_OK;
}

es_status es_scenario_read_pipelines(es_reader *reader, const es_doc *root, es_error *err)
{
    const es_doc *list = NULL;
    ES_TRY(es_scenario_field_need_items(root, "pipelines", &list, err));
    size_t count = list->as.list.count;
    ES_TRY(es_scenario_names_init(reader->scratch, &reader->pipelines, "pipeline", count, err));
    es_pipeline *read = NULL;
    ES_TRY(es_scenario_field_take(reader->scratch, count, sizeof *read, "pipelines", &read, err));
    for (size_t i = 0; i < count; i++)
        ES_TRY(read_pipeline(reader, list->as.list.items[i], &read[i], err));
    ES_TRY(group(reader, list, read, count, err));
    for (uint32_t s = 0; s < reader->scenario->segment_count; s++) {
        if (isnan(reader->segment_items[s].output_bytes)) /* in no pipeline */
            reader->segment_items[s].output_bytes = 0;
    }
    return ES_OK;
}
