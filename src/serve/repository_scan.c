#include "base/array.h"
#include "base/file.h"
#include "repository.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

typedef ES_ARRAY(const char *) names;

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int by_version(const void *a, const void *b)
{
    const es_scan_version *x = a;
    const es_scan_version *y = b;
    return (x->version > y->version) - (x->version < y->version);
}

static bool name_is_good(const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > ES_REPOSITORY_NAME_MAX || name[0] == '.')
        return false;
    for (const char *c = name; *c != '\0'; c++)
        if (*c == '/' || (unsigned char)*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

static bool is_file(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

static void closedir_p(DIR **folder)
{
    if (*folder != NULL)
        (void)closedir(*folder); /* was only read */
}

/* Names in a folder, in no order. */
static es_status list_folder(es_arena *arena, const char *path, names *out, es_error *err)
{
    ES_CLEANUP(closedir_p) DIR *folder = opendir(path);
    char reason[128] = "";
    if (folder == NULL) {
        if (strerror_r(errno, reason, sizeof reason) != 0)
            reason[0] = '\0';
        return es_fail(err, ES_ERR_IO, "cannot read folder '%s': %s", path, reason);
    }
    const struct dirent *entry = NULL;
    while ((entry = readdir(folder)) != NULL) {
        if (!name_is_good(entry->d_name))
            continue;
        if (out->count >= (size_t)2 * ES_REPOSITORY_MODELS_MAX)
            return es_fail(err, ES_ERR_LIMIT, "folder '%s' has more than %d entries", path,
                           2 * ES_REPOSITORY_MODELS_MAX);
        const char *copy = es_arena_text(arena, entry->d_name);
        if (copy == NULL)
            return es_arena_full(arena, "folder", err);
        ES_TRY(ES_ARRAY_PUSH(arena, out, copy, "folder", err));
    }
    return ES_OK;
}

/* "model.onnx" gives "model"; NULL when it is another file. */
static char *stem_of(es_arena *arena, const char *name)
{
    static const char ending[] = ".onnx";
    size_t size = strlen(name);
    size_t tail = sizeof ending - 1;
    if (size <= tail || strcmp(name + size - tail, ending) != 0)
        return NULL;
    return es_arena_text_n(arena, name, size - tail);
}

es_status es_scan_names(es_arena *arena, const char *folder, const char *const **out_names,
                        size_t *out_count, es_error *err)
{
    names found = {0};
    size_t used = 0;
    ES_TRY(list_folder(arena, folder, &found, err));
    for (size_t i = 0; i < found.count; i++) {
        char *path = es_file_join(arena, folder, found.items[i]);
        if (path == NULL)
            return es_arena_full(arena, "folder", err);
        const char *name = is_folder(path) ? found.items[i]
                           : is_file(path) ? stem_of(arena, found.items[i])
                                           : NULL;
        if (name != NULL)
            found.items[used++] = name;
    }
    if (used > 0)
        qsort(found.items, used, sizeof *found.items, by_text);
    *out_count = 0;
    for (size_t i = 0; i < used; i++) /* m/ and m.onnx are one model */
        if (i == 0 || strcmp(found.items[i], found.items[*out_count - 1]) != 0)
            found.items[(*out_count)++] = found.items[i];
    *out_names = found.items;
    return ES_OK;
}

static es_status find_config(es_arena *arena, es_scan_model *model, es_error *err)
{
    static const char *const files[] = {"config.pbtxt", "config.json", "config.yaml"};
    for (size_t i = 0; i < sizeof files / sizeof files[0] && model->config_path == NULL; i++) {
        char *path = es_file_join(arena, model->folder, files[i]);
        if (path == NULL)
            return es_arena_full(arena, "configuration", err);
        if (is_file(path))
            model->config_path = path;
    }
    return ES_OK;
}

static es_status find_versions(es_arena *arena, es_scan_model *model, es_error *err)
{
    names found = {0};
    ES_TRY(list_folder(arena, model->folder, &found, err));
    model->versions = ES_TAKE_ARRAY(arena, es_scan_version, found.count);
    if (model->versions == NULL)
        return es_arena_full(arena, "versions", err);
    for (size_t i = 0; i < found.count; i++) {
        int64_t version = 0;
        /* "01" and "+1" are no versions: a request could not name them */
        if (found.items[i][0] < '1' || found.items[i][0] > '9' ||
            !es_text_to_int64(found.items[i], &version))
            continue;
        char *path = es_file_join(arena, model->folder, found.items[i]);
        if (path == NULL)
            return es_arena_full(arena, "versions", err);
        if (is_folder(path))
            model->versions[model->version_count++] =
                (es_scan_version){.version = version, .path = path};
    }
    if (model->version_count > 0)
        qsort(model->versions, model->version_count, sizeof *model->versions, by_version);
    return ES_OK;
}

static es_status plain_file(es_arena *arena, const char *folder, const char *name,
                            es_scan_model *out, es_error *err)
{
    char *path = es_arena_format(arena, "%s/%s.onnx", folder, name);
    out->versions = ES_TAKE_ONE(arena, es_scan_version);
    if (path == NULL || out->versions == NULL)
        return es_arena_full(arena, "model", err);
    if (!is_file(path))
        return es_fail(err, ES_ERR_ARG, "there is no model '%s' in the repository", name);
    out->versions[0] = (es_scan_version){.version = 1, .path = path};
    out->version_count = 1;
    return ES_OK;
}

es_status es_scan_model_find(es_arena *arena, const char *folder, const char *name,
                             es_scan_model *out, es_error *err)
{
    *out = (es_scan_model){.name = name};
    if (!name_is_good(name))
        return es_fail(err, ES_ERR_ARG, "there is no model '%.64s' in the repository", name);
    char *path = es_file_join(arena, folder, name);
    if (path == NULL)
        return es_arena_full(arena, "model", err);
    if (!is_folder(path))
        return plain_file(arena, folder, name, out, err);
    out->folder = path;
    ES_TRY(find_config(arena, out, err));
    ES_TRY(find_versions(arena, out, err));
    return ES_OK;
}

void es_scan_choose(const es_model_config *config, es_scan_version *versions, size_t *count)
{
    size_t used = 0;
    for (size_t i = 0; i < *count; i++) {
        bool wanted =
            config->version_policy == ES_VERSIONS_ALL ||
            (config->version_policy == ES_VERSIONS_LATEST && i + config->num_versions >= *count);
        for (size_t k = 0; k < config->version_count; k++)
            wanted = wanted || versions[i].version == config->versions[k];
        if (wanted)
            versions[used++] = versions[i];
    }
    *count = used;
}
