/* Losses with their gradients, on plain arrays. One row's softmax is worked out at a time. */
#include "train/internal.h"

#include <math.h>

/* log sum exp(z / T) */
static double log_sum(const float *z, size_t classes, double temperature)
{
    double top = (double)z[0] / temperature;
    double sum = 0;
    for (size_t c = 1; c < classes; c++)
        top = fmax(top, (double)z[c] / temperature);
    for (size_t c = 0; c < classes; c++)
        sum += exp((double)z[c] / temperature - top);
    return top + log(sum);
}

double es_loss_cross_entropy(const float *scores, const uint32_t *labels, size_t samples,
                             size_t classes, double smoothing, double weight, float *gradient)
{
    double sum = 0;
    double share = weight / (double)samples;
    double rest = smoothing / (double)classes;
    for (size_t i = 0; i < samples; i++) {
        const float *z = scores + i * classes;
        double total = log_sum(z, classes, 1);
        for (size_t c = 0; c < classes; c++) {
            double log_p = (double)z[c] - total;
            double target = rest + (c == labels[i] ? 1 - smoothing : 0);
            sum -= target > 0 ? target * log_p : 0;
            if (gradient != NULL)
                gradient[i * classes + c] = (float)(share * (exp(log_p) - target));
        }
    }
    return share * sum;
}

double es_loss_soft(const float *scores, const float *targets, size_t samples, size_t classes,
                    double weight, float *gradient)
{
    double sum = 0;
    double share = weight / (double)samples;
    for (size_t i = 0; i < samples; i++) {
        const float *z = scores + i * classes;
        const float *t = targets + i * classes;
        double total = log_sum(z, classes, 1);
        for (size_t c = 0; c < classes; c++) {
            double log_p = (double)z[c] - total;
            sum -= t[c] > 0 ? (double)t[c] * log_p : 0;
            if (gradient != NULL)
                gradient[i * classes + c] = (float)(share * (exp(log_p) - (double)t[c]));
        }
    }
    return share * sum;
}

double es_loss_distil(const float *scores, const float *teacher, const uint32_t *labels,
                      size_t samples, size_t classes, double alpha, double temperature,
                      double weight, float *gradient)
{
    double sum = 0;
    double share = weight / (double)samples;
    for (size_t i = 0; i < samples; i++) {
        const float *z = scores + i * classes;
        const float *t = teacher + i * classes;
        double soft = log_sum(z, classes, temperature);
        double hard = alpha < 1 ? log_sum(z, classes, 1) : 0;
        for (size_t c = 0; c < classes; c++) {
            double log_q = (double)z[c] / temperature - soft;
            double p = (double)t[c];
            double slope = alpha * temperature * (exp(log_q) - p);
            sum += p > 0 ? alpha * temperature * temperature * p * (log(p) - log_q) : 0;
            if (alpha < 1) {
                double log_p = (double)z[c] - hard;
                slope += (1 - alpha) * (exp(log_p) - (c == labels[i] ? 1 : 0));
                sum -= c == labels[i] ? (1 - alpha) * log_p : 0;
            }
            if (gradient != NULL)
                gradient[i * classes + c] = (float)(share * slope);
        }
    }
    return share * sum;
}

void es_loss_soften(const float *const *logits, size_t teacher_count, size_t samples,
                    size_t classes, double temperature, float *out)
{
    memset(out, 0, samples * classes * sizeof *out);
    for (size_t k = 0; k < teacher_count; k++) {
        for (size_t i = 0; i < samples; i++) {
            const float *z = logits[k] + i * classes;
            double total = log_sum(z, classes, temperature);
            for (size_t c = 0; c < classes; c++)
                out[i * classes + c] +=
                    (float)(exp((double)z[c] / temperature - total) / (double)teacher_count);
        }
    }
}

double es_loss_squares(const float *values, const float *targets, size_t samples, size_t size,
                       double weight, float *gradient)
{
    double sum = 0;
    double share = weight / (double)(samples * size);
    for (size_t i = 0; i < samples * size; i++) {
        double away = (double)values[i] - (double)targets[i];
        sum += away * away;
        if (gradient != NULL)
            gradient[i] = (float)(2 * share * away);
    }
    return share * sum;
}

/* log(1 + e^z) - t z, written so that nothing overflows. */
double es_loss_binary(const float *scores, const float *targets, size_t samples, size_t size,
                      double weight, float *gradient)
{
    double sum = 0;
    double share = weight / (double)(samples * size);
    for (size_t i = 0; i < samples * size; i++) {
        double z = (double)scores[i];
        double t = (double)targets[i];
        sum += fmax(z, 0) + log1p(exp(-fabs(z))) - t * z;
        if (gradient != NULL)
            gradient[i] = (float)(share * (1 / (1 + exp(-z)) - t));
    }
    return share * sum;
}

static size_t largest(const float *z, size_t classes)
{
    size_t best = 0;
    for (size_t c = 1; c < classes; c++)
        if (z[c] > z[best])
            best = c;
    return best;
}

/* For a wrong answer d KL / d z_k = p_k (log p_k + H), H = -sum p log p. */
double es_loss_gatekeeper(const float *scores, const uint32_t *labels, size_t samples,
                          size_t classes, double alpha, double weight, float *gradient)
{
    double sum = 0;
    double share = weight / (double)samples;
    for (size_t i = 0; i < samples; i++) {
        const float *z = scores + i * classes;
        double total = log_sum(z, classes, 1);
        bool right = largest(z, classes) == labels[i];
        double entropy = 0;
        for (size_t c = 0; c < classes; c++)
            entropy -= exp((double)z[c] - total) * ((double)z[c] - total);
        sum += right ? alpha * (total - (double)z[labels[i]])
                     : (1 - alpha) * (log((double)classes) - entropy);
        for (size_t c = 0; gradient != NULL && c < classes; c++) {
            double log_p = (double)z[c] - total;
            double slope = right ? alpha * (exp(log_p) - (c == labels[i] ? 1 : 0))
                                 : (1 - alpha) * exp(log_p) * (log_p + entropy);
            gradient[i * classes + c] = (float)(share * slope);
        }
    }
    return share * sum;
}

size_t es_loss_right(const float *scores, const uint32_t *labels, size_t samples, size_t classes)
{
    size_t right = 0;
    for (size_t i = 0; i < samples; i++)
        right += largest(scores + i * classes, classes) == labels[i];
    return right;
}
