#include "toy.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { F32 = 0, F16 = 1, UINT32 = 4, FLOAT32 = 6, STRING = 8, ARRAY = 9, MAX_LAYERS = 64, ALIGNMENT = 32 };

typedef struct {
    float *attn_norm, *q, *k, *v, *attn_sub_norm, *attn_out; /* weights, rows before columns */
    float *ffn_norm, *gate, *up, *ffn_sub_norm, *down;
    float *keys, *values; /* (positions, kv) */
} layer;

struct toy {
    int n_vocab, n_layer, n_embd, n_head, n_head_kv, n_ff, positions;
    float eps, rope_base;
    float *embedding, *output_norm, *head;
    layer layers[MAX_LAYERS];
    toy_hook hook;
    void* user;
};

/* ---- The file ---------------------------------------------------------------------------------------- */

typedef struct {
    const uint8_t *at, *end;
} reader;

static const uint8_t* take(reader* r, uint64_t size) {
    static const uint8_t zeros[8];
    if (size > (uint64_t)(r->end - r->at)) {
        r->at = r->end;
        return size <= sizeof zeros ? zeros : r->end;
    }
    r->at += size;
    return r->at - size;
}

static uint64_t number(reader* r, int bytes) {
    uint64_t value = 0;
    memcpy(&value, take(r, (uint64_t)bytes), (size_t)bytes);
    return value;
}

/* A string, cut to fit. */
static void string(reader* r, char* text, size_t size) {
    uint64_t length = number(r, 8);
    uint64_t left = (uint64_t)(r->end - r->at), kept = length < left ? length : left;
    if (kept >= size) kept = size - 1;
    memcpy(text, r->at, (size_t)kept);
    text[kept] = 0;
    take(r, length);
}

static void skip(reader* r, uint32_t type) {
    static const int sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == STRING) {
        take(r, number(r, 8));
    } else if (type == ARRAY) {
        uint32_t element = (uint32_t)number(r, 4);
        for (uint64_t n = number(r, 8); n > 0 && r->at < r->end; n--) skip(r, element);
    } else {
        take(r, type < 13 ? (uint64_t)sizes[type] : 0);
    }
}

static int ends_with(const char* text, const char* end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static void read_key(toy* t, reader* r, char* arch, size_t arch_size) {
    char key[128];
    string(r, key, sizeof key);
    uint32_t type = (uint32_t)number(r, 4);
    if (strcmp(key, "general.architecture") == 0 && type == STRING) {
        string(r, arch, arch_size);
    } else if (type == UINT32) {
        int value = (int)number(r, 4);
        if (ends_with(key, ".block_count")) t->n_layer = value;
        if (ends_with(key, ".embedding_length")) t->n_embd = value;
        if (ends_with(key, ".feed_forward_length")) t->n_ff = value;
        if (ends_with(key, ".head_count")) t->n_head = value;
        if (ends_with(key, ".head_count_kv")) t->n_head_kv = value;
    } else if (type == FLOAT32) {
        float value;
        memcpy(&value, take(r, 4), 4);
        if (ends_with(key, "rms_epsilon")) t->eps = value;
        if (ends_with(key, "freq_base")) t->rope_base = value;
    } else {
        skip(r, type);
    }
}

static float half(uint16_t bits) {
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    float value =
        exponent == 0 ? ldexpf((float)mantissa, -24) : ldexpf((float)(mantissa + 1024), exponent - 25);
    return bits >> 15 ? -value : value;
}

/* Where the values of a tensor belong; NULL for a tensor that the toy has no use for. */
static float** place_of(toy* t, const char* name) {
    char part[64] = "";
    int i = 0;
    if (strcmp(name, "token_embd.weight") == 0) return &t->embedding;
    if (strcmp(name, "output_norm.weight") == 0) return &t->output_norm;
    if (strcmp(name, "output.weight") == 0) return &t->head;
    if (sscanf(name, "blk.%d.%63s", &i, part) != 2 || i < 0 || i >= MAX_LAYERS) return NULL;
    layer* l = &t->layers[i];
    const struct {
        const char* name;
        float** place;
    } places[] = {{"attn_norm.weight", &l->attn_norm},
                  {"attn_q.weight", &l->q},
                  {"attn_k.weight", &l->k},
                  {"attn_v.weight", &l->v},
                  {"attn_sub_norm.weight", &l->attn_sub_norm},
                  {"attn_output.weight", &l->attn_out},
                  {"ffn_norm.weight", &l->ffn_norm},
                  {"ffn_gate.weight", &l->gate},
                  {"ffn_up.weight", &l->up},
                  {"ffn_sub_norm.weight", &l->ffn_sub_norm},
                  {"ffn_down.weight", &l->down}};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++)
        if (strcmp(part, places[p].name) == 0) return places[p].place;
    return NULL;
}

/* Read the next entry of the tensor table, and the values that it points to.  0, or why not. */
static const char* read_tensor(toy* t, reader* r, reader data) {
    char name[128];
    uint64_t count = 1, rows = 0;
    string(r, name, sizeof name);
    for (uint64_t dims = number(r, 4); dims > 0; dims--) count *= rows = number(r, 8);
    uint32_t type = (uint32_t)number(r, 4);
    take(&data, number(r, 8));
    float** place = place_of(t, name);
    if (place == NULL) return NULL;
    if (type != F32 && type != F16) return "the toy reads F32 and F16 tensors only";
    if (count > (uint64_t)(data.end - data.at) / (type == F32 ? 4 : 2)) return "the file is cut off";
    if (place == &t->embedding) t->n_vocab = (int)rows;
    float* values = *place = malloc((size_t)count * sizeof *values);
    if (values == NULL) return "there is no memory for the weights";
    if (type == F32) memcpy(values, data.at, (size_t)count * 4);
    for (uint64_t i = 0; type == F16 && i < count; i++) values[i] = half((uint16_t)number(&data, 2));
    return NULL;
}

static const char* read_model(toy* t, reader file) {
    reader r = file;
    char arch[32] = "";
    if (number(&r, 4) != 0x46554747) return "it is no GGUF file"; /* "GGUF" */
    take(&r, 4);
    uint64_t tensors = number(&r, 8);
    for (uint64_t keys = number(&r, 8); keys > 0; keys--) read_key(t, &r, arch, sizeof arch);
    if (strcmp(arch, "bitnet") != 0) return "the toy runs the architecture bitnet only";
    if (t->n_layer < 1 || t->n_layer > MAX_LAYERS || !t->n_head || !t->n_head_kv) return "sizes are missing";
    reader table = r;
    for (uint64_t i = 0; i < tensors; i++) { /* to where the values begin */
        take(&r, number(&r, 8));
        take(&r, 8 * number(&r, 4) + 12);
    }
    reader data = {file.at + ((r.at - file.at) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, file.end};
    if (data.at > data.end) return "the file is cut off";
    for (uint64_t i = 0; i < tensors; i++) {
        const char* problem = read_tensor(t, &table, data);
        if (problem) return problem;
    }
    if (!t->embedding || !t->output_norm) return "tensors are missing";
    for (int i = 0; i < t->n_layer; i++) {
        float** weights = (float**)&t->layers[i];
        for (int w = 0; w < 11; w++)
            if (!weights[w]) return "tensors are missing";
        size_t cache = (size_t)t->positions * (size_t)(t->n_embd / t->n_head * t->n_head_kv);
        t->layers[i].keys = malloc(cache * sizeof(float));
        t->layers[i].values = malloc(cache * sizeof(float));
    }
    return NULL;
}

toy* toy_open(const char* path, int positions, char* error, size_t error_size) {
    toy* t = calloc(1, sizeof *t);
    FILE* file = fopen(path, "rb");
    uint8_t* bytes = NULL;
    const char* problem = "it cannot be read";
    if (t && file && fseek(file, 0, SEEK_END) == 0) {
        size_t size = (size_t)ftell(file);
        bytes = malloc(size);
        rewind(file);
        t->positions = positions;
        if (bytes && fread(bytes, 1, size, file) == size)
            problem = read_model(t, (reader){bytes, bytes + size});
    }
    if (file) fclose(file);
    free(bytes);
    if (problem == NULL) return t;
    snprintf(error, error_size, "%s", problem);
    toy_close(t);
    return NULL;
}

void toy_close(toy* t) {
    if (t == NULL) return;
    for (int i = 0; i < MAX_LAYERS; i++)
        for (size_t w = 0; w < sizeof(layer) / sizeof(float*); w++) free(((float**)&t->layers[i])[w]);
    free(t->embedding);
    free(t->output_norm);
    free(t->head);
    free(t);
}

int toy_n_vocab(const toy* t) { return t->n_vocab; }

void toy_set_hook(toy* t, toy_hook hook, void* user) {
    t->hook = hook;
    t->user = user;
}

/* ---- The graph --------------------------------------------------------------------------------------- */

static void tell(const toy* t, const char* name, int layer, const float* values, int n) {
    if (t->hook) t->hook(t->user, name, layer, values, n);
}

static void norm(const toy* t, const float* x, const float* weight, float* out, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * x[i];
    float scale = 1.0f / sqrtf((float)(sum / n) + t->eps);
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static void multiply(const float* weight, const float* x, float* out, int rows, int cols) {
    for (int r = 0; r < rows; r++) {
        float sum = 0;
        for (int c = 0; c < cols; c++) sum += weight[(size_t)r * (size_t)cols + (size_t)c] * x[c];
        out[r] = sum;
    }
}

static void rotate(const toy* t, float* x, int heads, int size, int position) {
    for (int h = 0; h < heads; h++, x += size) {
        for (int i = 0; i < size / 2; i++) {
            double angle = position * pow(t->rope_base, -2.0 * i / size);
            float c = (float)cos(angle), s = (float)sin(angle), a = x[i], b = x[i + size / 2];
            x[i] = a * c - b * s;
            x[i + size / 2] = a * s + b * c;
        }
    }
}

/* Attention of one head over positions 0 to `last`: keys and values are `stride` apart. */
static void attend(const float* q, const float* keys, const float* values, float* scores, float* out,
                   int size, int stride, int last) {
    float most = -INFINITY, total = 0;
    for (int p = 0; p <= last; p++) {
        multiply(keys + (size_t)p * (size_t)stride, q, &scores[p], 1, size);
        scores[p] /= sqrtf((float)size);
        if (scores[p] > most) most = scores[p];
    }
    for (int p = 0; p <= last; p++) total += scores[p] = expf(scores[p] - most);
    memset(out, 0, (size_t)size * sizeof *out);
    for (int p = 0; p <= last; p++)
        for (int i = 0; i < size; i++)
            out[i] += scores[p] / total * values[(size_t)p * (size_t)stride + (size_t)i];
}

static void block(const toy* t, int i, int position, float* x, float* work) {
    const layer* l = &t->layers[i];
    int n = t->n_embd, size = n / t->n_head, kv = size * t->n_head_kv;
    float *normed = work, *q = normed + n, *context = q + n, *branch = context + n, *gate = branch + n,
          *up = gate + t->n_ff, *scores = up + t->n_ff;
    float *k = l->keys + (size_t)position * (size_t)kv, *v = l->values + (size_t)position * (size_t)kv;

    norm(t, x, l->attn_norm, normed, n);
    tell(t, "att_in", i, normed, n);
    multiply(l->q, normed, q, n, n);
    multiply(l->k, normed, k, kv, n);
    multiply(l->v, normed, v, kv, n);
    tell(t, "q", i, q, n);
    tell(t, "k", i, k, kv);
    tell(t, "v", i, v, kv);
    rotate(t, q, t->n_head, size, position);
    rotate(t, k, t->n_head_kv, size, position);
    tell(t, "q_rotated", i, q, n);
    tell(t, "k_rotated", i, k, kv);
    for (int h = 0; h < t->n_head; h++) {
        int own = h / (t->n_head / t->n_head_kv) * size;
        attend(q + h * size, l->keys + own, l->values + own, scores, context + h * size, size, kv, position);
    }
    tell(t, "att", i, context, n);
    norm(t, context, l->attn_sub_norm, normed, n);
    tell(t, "att_normed", i, normed, n);
    multiply(l->attn_out, normed, branch, n, n);
    tell(t, "att_out", i, branch, n);
    for (int j = 0; j < n; j++) x[j] += branch[j];
    tell(t, "x_mid", i, x, n);

    norm(t, x, l->ffn_norm, normed, n);
    tell(t, "ffn_in", i, normed, n);
    multiply(l->gate, normed, gate, t->n_ff, n);
    multiply(l->up, normed, up, t->n_ff, n);
    tell(t, "gate", i, gate, t->n_ff);
    tell(t, "up", i, up, t->n_ff);
    for (int j = 0; j < t->n_ff; j++) gate[j] = gate[j] / (1.0f + expf(-gate[j])) * up[j];
    tell(t, "hidden", i, gate, t->n_ff);
    norm(t, gate, l->ffn_sub_norm, up, t->n_ff);
    tell(t, "hidden_normed", i, up, t->n_ff);
    multiply(l->down, up, branch, n, t->n_ff);
    tell(t, "ffn_out", i, branch, n);
    for (int j = 0; j < n; j++) x[j] += branch[j];
    tell(t, "x", i, x, n);
}

void toy_step(toy* t, int token, int position, float* logits) {
    int n = t->n_embd;
    float* x = malloc((size_t)(6 * n + 2 * t->n_ff + t->positions) * sizeof *x);
    memcpy(x, t->embedding + (size_t)token * (size_t)n, (size_t)n * sizeof *x);
    tell(t, "embedding", -1, x, n);
    for (int i = 0; i < t->n_layer; i++) block(t, i, position, x, x + n);
    norm(t, x, t->output_norm, x + n, n);
    tell(t, "x_normed", -1, x + n, n);
    multiply(t->head ? t->head : t->embedding, x + n, logits, t->n_vocab, n);
    tell(t, "scores", -1, logits, t->n_vocab);
    free(x);
}
