/*
 * meter, private: channels with their state, one finder per source, text files of the kernel.
 */
#ifndef ES_METER_INTERNAL_H
#define ES_METER_INTERNAL_H

#include "base/array.h"
#include "meter/meter.h"

#include <sys/types.h>

enum { ES_METER_PATH_SIZE = 768, ES_METER_WORDS_SIZE = 256, ES_METER_LIST_MAX = 1024 };

/* ---- sysfs.c ---- */

/* Formats a path; false when it does not fit. */
bool es_sysfs_path(char out[ES_METER_PATH_SIZE], const char *format, ...) ES_PRINTF(2, 3);
/* From the start of an open file, without the space at its ends; errno tells why not. */
bool es_sysfs_read_fd(int fd, char *out, size_t size);
bool es_sysfs_read(const char *path, char *out, size_t size);
/* A whole number and nothing else. */
bool es_sysfs_unsigned_fd(int fd, uint64_t *out);
bool es_sysfs_signed_fd(int fd, int64_t *out);
bool es_sysfs_unsigned(const char *path, uint64_t *out);
/* Sorted names in a folder, without those that start with a dot; 0 when it cannot be read. */
size_t es_sysfs_list(es_arena *arena, const char *path, const char ***out_names);
/* "power12_input" with "power", "_input" gives 12. */
bool es_sysfs_numbered(const char *name, const char *before, const char *after, uint32_t *out);

/* First line of /proc/stat: ticks of work and of all. cpu_count: lines cpuN in the bytes. */
bool es_proc_stat_parse(const char *words, uint64_t *out_busy, uint64_t *out_all,
                        uint32_t *out_cpu_count);
/* utime + stime of /proc/PID/stat; the name may hold spaces and brackets. */
bool es_proc_pid_parse(const char *words, uint64_t *out_ticks);

/* ---- channels ---- */

typedef enum es_reading {
    ES_READ_COUNTER, /* scale joules per count */
    ES_READ_POWER,   /* scale watts per count */
    ES_READ_PRODUCT, /* two files, scale watts per product */
    ES_READ_BATTERY, /* as POWER or PRODUCT, while the status says Discharging */
    ES_READ_NVML_ENERGY,
    ES_READ_NVML_POWER,
    ES_READ_MODEL
} es_reading;

typedef struct es_channel {
    es_meter_channel face;
    es_reading reading;
    int fd, fd_other, fd_status;
    double scale;
    double accuracy; /* relative */
    void *device;    /* of NVML */
    uint64_t range;  /* in counts; 0: not known */
    uint64_t last;
    double last_w;
    int64_t last_ns;
    bool has_last;
    bool lost;
    uint32_t failed_in_row;
    int64_t still_ns; /* the counter has not moved for so long */
    es_meter_sum sum;
} es_channel;

typedef struct es_model_state {
    int fd_stat;
    uint32_t cpu_count;
    uint64_t busy, all; /* ticks at the last sample */
    bool has_ticks;
    bool default_used;
    es_meter_model low, central, high;
    int *fd_frequencies;
    size_t frequency_count;
    double frequency_khz_max;
    double utilisation;
} es_model_state;

typedef struct es_nvml es_nvml;

struct es_meter {
    es_arena *arena;
    es_meter_opts opts;
    const char *root;
    es_channel *channels; /* [ES_METER_CHANNELS_MAX] */
    size_t channel_count;
    ES_ARRAY(es_meter_rejection) rejections;
    es_model_state model;
    es_nvml *nvml;
    char boundary[ES_METER_WORDS_SIZE];
    int64_t last_ns;
    bool has_last;
    es_meter_mark sums; /* channels unused */
};

/* A new channel with no files and the defaults of its part; NULL when there are too many. */
es_channel *es_channel_add(es_meter *meter, es_meter_source source, es_meter_part part,
                           const char *name, const char *path);
/* Lists what was not used; a list that does not fit is cut. */
void es_meter_reject(es_meter *meter, es_meter_source source, const char *what, const char *format,
                     ...) ES_PRINTF(4, 5);

/* Finders: each adds channels and rejections. */
void es_rapl_find(es_meter *meter);
void es_nvml_find(es_meter *meter);
void es_hwmon_find(es_meter *meter); /* INA too */
void es_battery_find(es_meter *meter);
es_status es_model_find(es_meter *meter, es_error *err) ES_MUST_CHECK;

/* Which channels make the total (counted.c). */
void es_meter_arbitrate(es_meter *meter);

/* sample.c: brings the channel's sum to now; false when nothing was added for the interval. */
bool es_channel_sample(es_meter *meter, es_channel *channel, int64_t now_ns);
/* nvml.c: millijoules or milliwatts; false with the reason. */
bool es_nvml_read(const es_nvml *nvml, const es_channel *channel, uint64_t *out, const char **why);
/* NVML's counter cannot be believed: from now on its power is polled. False: no such call. */
bool es_nvml_fall_back(const es_nvml *nvml, es_channel *channel);
/* model.c: mean watts since the last call, with bounds. */
void es_model_power(es_meter *meter, double *out_low_w, double *out_w, double *out_high_w);

#endif
