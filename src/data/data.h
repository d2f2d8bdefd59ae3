/*
 * data: labelled samples for training, calibration and measuring.
 *
 * Reads IDX, CIFAR records, NPY, NPZ, CSV and raw floats, each also gzipped; cuts them into parts
 * by seed, hands them out in batches of floats, and makes synthetic signals. Writes nothing but
 * NPY. Everything read lives in the arena given, whole: a set larger than memory is refused.
 * Numbers mean what the file says (pixels stay 0..255) until an es_scaling is applied.
 * Threads: datasets are read-only once made; an es_data_batches belongs to one thread.
 * Errors: ES_ERR_IO, ES_ERR_PARSE naming file and place, ES_ERR_UNSUPPORTED, ES_ERR_LIMIT.
 */
#ifndef ES_DATA_DATA_H
#define ES_DATA_DATA_H

#include "base/arena.h"
#include "base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- arrays ---- */

enum { ES_DATA_RANK_MAX = 8 };

typedef enum es_data_type {
    ES_DATA_U8,
    ES_DATA_I8,
    ES_DATA_U16,
    ES_DATA_I16,
    ES_DATA_U32,
    ES_DATA_I32,
    ES_DATA_U64,
    ES_DATA_I64,
    ES_DATA_F32,
    ES_DATA_F64,
    ES_DATA_TYPE_COUNT
} es_data_type;

size_t es_data_type_size(es_data_type type);      /* bytes of one value */
const char *es_data_type_name(es_data_type type); /* "u8", "f32", ... */

/* Row-major values in this machine's byte order. */
typedef struct es_data_array {
    const char *name; /* of a member of an NPZ, else "" */
    es_data_type type;
    size_t rank; /* 0: one value */
    size_t dims[ES_DATA_RANK_MAX];
    size_t count;      /* product of dims */
    const void *bytes; /* aligned for type */
} es_data_array;

double es_data_at(const es_data_array *array, size_t index); /* index < count; i64 may be rounded */

/* out[0..count) = array[first..first+count) as floats; the caller keeps the range. */
void es_data_floats(const es_data_array *array, size_t first, size_t count, float *out);

/* From bytes in memory (borrowed until the arena goes); name is for errors. Byte order is put
 * right. IDX: types 0x08..0x0e, ranks 1 to 8. NPY: versions 1 to 3, bool and real numbers of 1 to 8
 * bytes, also in Fortran order. Nothing may be missing or left over behind the values. */
es_status es_data_parse_idx(es_arena *arena, const char *name, const void *bytes, size_t size,
                            es_data_array *out_array, es_error *err) ES_MUST_CHECK;
es_status es_data_parse_npy(es_arena *arena, const char *name, const void *bytes, size_t size,
                            es_data_array *out_array, es_error *err) ES_MUST_CHECK;
/* All members of a zip of .npy, stored or deflated, in the order of its directory. cap_bytes
 * bounds what they unpack to. */
es_status es_data_parse_npz(es_arena *arena, const char *name, const void *bytes, size_t size,
                            size_t cap_bytes, es_data_array **out_arrays, size_t *out_count,
                            es_error *err) ES_MUST_CHECK;

/* A file with one array: IDX or NPY, told by its first bytes, also gzipped; of an NPZ the member
 * wanted (NULL: the only one). */
es_status es_data_read_array(es_arena *arena, const char *path, const char *member,
                             es_data_array *out_array, es_error *err) ES_MUST_CHECK;

/* NPY version 1, the form that numpy.load reads. */
es_status es_data_write_npy(const char *path, const es_data_array *array,
                            es_error *err) ES_MUST_CHECK;

/* ---- tables ---- */

enum { ES_DATA_COLUMNS_MAX = 4096 };

/* A column is numbers when every cell that is not empty is one. */
typedef struct es_data_column {
    const char *name;         /* of the head, else "column 3" */
    const double *numbers;    /* [rows], NAN where empty; NULL for words */
    const uint32_t *codes;    /* [rows], index into words; NULL for numbers */
    const char *const *words; /* in order of appearance */
    uint32_t word_count;
} es_data_column;

typedef struct es_data_table {
    const char *name;
    size_t row_count;
    size_t column_count;
    const es_data_column *columns;
} es_data_table;

typedef enum es_data_head { ES_DATA_HEAD_GUESS, ES_DATA_HEAD_YES, ES_DATA_HEAD_NO } es_data_head;

/* Commas, quotes as in RFC 4180 but no line end inside them. head: whether the first line names the
 * columns; GUESS: when none of its cells is a number. O(bytes). */
es_status es_data_parse_csv(es_arena *arena, const char *name, const char *bytes, size_t size,
                            es_data_head head, const es_data_table **out_table,
                            es_error *err) ES_MUST_CHECK;

/* The column of that name, or with that number from 1; NULL when there is none. */
const es_data_column *es_data_table_column(const es_data_table *table, const char *name);

/* ---- datasets ---- */

typedef struct es_dataset {
    const char *name;
    es_data_array x;                /* dims[0] = count; images are [count, channels, rows, columns],
                                       windows of a series [count, channels, steps] */
    size_t count;                   /* samples, >= 1 */
    size_t size;                    /* values of one sample, >= 1 */
    const uint32_t *labels;         /* [count], < class_count; NULL: none */
    uint32_t class_count;           /* largest label + 1; 0 without labels */
    const char *const *class_names; /* [class_count], or NULL */
} es_dataset;

typedef enum es_data_format {
    ES_DATA_FORMAT_AUTO, /* by the first bytes, then by the file's name */
    ES_DATA_FORMAT_IDX,
    ES_DATA_FORMAT_CIFAR10,  /* records of a label and 3072 bytes */
    ES_DATA_FORMAT_CIFAR100, /* two labels, coarse and fine; the fine one counts */
    ES_DATA_FORMAT_NPY,
    ES_DATA_FORMAT_NPZ, /* members x (or images, data) and, when there, y (or labels) */
    ES_DATA_FORMAT_CSV,
    ES_DATA_FORMAT_F32, /* nothing but floats, little-endian; the labels tell how many samples */
    ES_DATA_FORMAT_COUNT
} es_data_format;
extern const char *const es_data_format_names[ES_DATA_FORMAT_COUNT];

typedef struct es_dataset_opts {
    es_data_format format;
    size_t cap_bytes; /* of a file, unpacked; default 1 GiB */
    size_t limit;     /* at most that many samples, from the start; 0: all; default 0 */
    /* CSV only. */
    es_data_head head;
    const char *label; /* column of the labels; NULL: "label" or "class", else the last of words */
    const char *leave_out; /* columns that are no features, with commas; NULL: none */
    bool one_hot;          /* words become one feature per word; else an error; default true */
    size_t window, stride; /* rows of a window and between starts; 0: each row is a sample. Windows
                              whose rows differ in label are left out; stride 0: window */
} es_dataset_opts;

es_dataset_opts es_dataset_opts_default(void);

/* labels_path: IDX, NPY, CSV of one column, or a byte each (.u8); NULL: those in the file, or none.
 * Labels are whole numbers from 0 to 2^20. Samples and labels must be equally many, and no value
 * NaN or infinite. */
es_status es_dataset_load(es_arena *arena, const char *path, const char *labels_path,
                          es_dataset_opts opts, es_dataset *out_dataset,
                          es_error *err) ES_MUST_CHECK;

/* Labels alone: count, labels and classes are set, x is not. */
es_status es_dataset_load_labels(es_arena *arena, const char *path, es_dataset_opts opts,
                                 es_dataset *out_dataset, es_error *err) ES_MUST_CHECK;

/* The first samples, at most limit. The arrays are shared. */
es_dataset es_dataset_head(const es_dataset *dataset, size_t limit);

/* out[0..size) = the sample, as floats. row < count. */
void es_dataset_sample(const es_dataset *dataset, size_t row, float *out);

/* counts[0..class_count) = samples of each class. */
void es_dataset_class_counts(const es_dataset *dataset, size_t *counts);

/* ---- parts ---- */

typedef struct es_data_rows {
    const size_t *items; /* rows of the dataset, in an order of their own */
    size_t count;
} es_data_rows;

enum { ES_DATA_PARTS_MAX = 16 };

/* Cuts 0..count into part_count parts with shares[] of it (each > 0; the sum <= 1; what is over is
 * left out). With labels (NULL: none) each class is cut in these shares, to within one sample. Same
 * seed, same parts; parts are disjoint. ES_ERR_ARG when a part would be empty. */
es_status es_data_split(es_arena *arena, const uint32_t *labels, size_t count, const double *shares,
                        size_t part_count, uint64_t seed, es_data_rows out_parts[ES_DATA_PARTS_MAX],
                        es_error *err) ES_MUST_CHECK;

/* ---- scaling and batches ---- */

/* (value - mean[c]) * factor[c] for channel c: the second dimension of x. */
typedef struct es_scaling {
    size_t channel_count; /* 0: leave the values as they are */
    const float *mean;
    const float *factor;
} es_scaling;

/* Mean 0 and variance 1 per channel over the rows (NULL: all); a channel that never changes gets
 * factor 1. */
es_status es_scaling_fit(es_arena *arena, const es_dataset *dataset, const es_data_rows *rows,
                         es_scaling *out_scaling, es_error *err) ES_MUST_CHECK;

/* In place, on one sample. */
void es_scaling_apply(const es_scaling *scaling, size_t sample_size, float *sample);

typedef struct es_data_batches_opts {
    size_t batch;   /* samples, >= 1; default 32 */
    bool shuffle;   /* a new order every epoch; default true */
    bool drop_last; /* leave out a batch that is not full; default false */
    uint64_t seed;  /* default 1 */
    es_scaling scaling;
} es_data_batches_opts;

es_data_batches_opts es_data_batches_opts_default(void);

typedef struct es_data_batches {
    const es_dataset *dataset; /* kept until the arena goes */
    es_data_batches_opts opts;
    size_t *order; /* private */
    size_t row_count, at;
    uint64_t epoch; /* from 0; may be set to resume: es_data_batches_seek */
} es_data_batches;

/* Over rows (NULL: all). ES_ERR_ARG when drop_last leaves nothing. */
es_status es_data_batches_init(es_arena *arena, const es_dataset *dataset, const es_data_rows *rows,
                               es_data_batches_opts opts, es_data_batches *out_batches,
                               es_error *err) ES_MUST_CHECK;

/* Fills x[batch][size] and labels[batch] (each may be NULL); gives the samples, 0 at the end of an
 * epoch, after which the next one begins. */
size_t es_data_batches_next(es_data_batches *batches, float *x, uint32_t *labels);

/* To the start of an epoch: what follows is as if all before had been read. */
void es_data_batches_seek(es_data_batches *batches, uint64_t epoch);

/* ---- synthetic data ---- */

/* Windows of one channel, each one of these shapes with its own period and phase, plus noise. */
typedef enum es_signal_shape {
    ES_SIGNAL_SINE,
    ES_SIGNAL_SQUARE,
    ES_SIGNAL_SAWTOOTH,
    ES_SIGNAL_CHIRP,
    ES_SIGNAL_PULSES,
    ES_SIGNAL_NOISE, /* nothing else */
    ES_SIGNAL_SHAPE_COUNT
} es_signal_shape;
extern const char *const es_signal_shape_names[ES_SIGNAL_SHAPE_COUNT];

typedef struct es_signals_opts {
    size_t count;  /* samples, shapes in turn; default 600 */
    size_t steps;  /* values of one, >= 8; default 128 */
    double noise;  /* standard deviation beside an amplitude of 1, >= 0; default 0.3 */
    uint64_t seed; /* default 1 */
} es_signals_opts;

es_signals_opts es_signals_opts_default(void);
es_status es_data_make_signals(es_arena *arena, es_signals_opts opts, es_dataset *out_dataset,
                               es_error *err) ES_MUST_CHECK;

/* Classes as spheres of Gaussian noise around corners of a simplex, distance apart: the best any
 * classifier can do is known. size >= class_count. *out_accuracy (may be NULL): that accuracy for
 * two classes, Phi(distance / 2); NAN for more. */
typedef struct es_clusters_opts {
    size_t count;         /* default 1000 */
    uint32_t class_count; /* >= 2; default 2 */
    size_t size;          /* values of a sample; default 2 */
    double distance;      /* between means, in standard deviations, > 0; default 2 */
    uint64_t seed;        /* default 1 */
} es_clusters_opts;

es_clusters_opts es_clusters_opts_default(void);
es_status es_data_make_clusters(es_arena *arena, es_clusters_opts opts, es_dataset *out_dataset,
                                double *out_accuracy, es_error *err) ES_MUST_CHECK;

/* A series with a season, a drift and noise, in which bursts are label 1: for anomaly detection.
 * One sample per step; x is [count, 1]. */
typedef struct es_series_opts {
    size_t count;        /* steps; default 2000 */
    size_t period;       /* of the season, steps, >= 2; default 100 */
    double drift;        /* per step; default 0 */
    double noise;        /* beside a season of amplitude 1; default 0.1 */
    size_t bursts;       /* default 5, evenly spread but for chance */
    size_t burst_steps;  /* of each; default 10 */
    double burst_height; /* default 3 */
    uint64_t seed;       /* default 1 */
} es_series_opts;

es_series_opts es_series_opts_default(void);
es_status es_data_make_series(es_arena *arena, es_series_opts opts, es_dataset *out_dataset,
                              es_error *err) ES_MUST_CHECK;

#endif
