/* The toy as an engine of bitparity, in C. */
#include <bitparity/engine.h>
#include <stdlib.h>

#include "toy.h"

struct bitparity_session {
    toy* engine;
    int32_t position; /* of the token that runs */
    bitparity_tap_function tap;
    void* user;
};

bitparity_session* bitparity_open(const char* gguf, int32_t context, int32_t threads, int32_t device,
                                  char* error, size_t error_size) {
    (void)threads; /* the toy has one thread and no device */
    (void)device;
    bitparity_session* s = calloc(1, sizeof *s);
    s->engine = toy_open(gguf, context, error, error_size);
    if (s->engine) return s;
    free(s);
    return NULL;
}

int32_t bitparity_n_vocab(const bitparity_session* s) { return toy_n_vocab(s->engine); }

int32_t bitparity_forward(bitparity_session* s, const int32_t* ids, int32_t n, int32_t position,
                          float* logits) {
    for (int32_t i = 0; i < n; i++) {
        s->position = position + i;
        toy_step(s->engine, ids[i], s->position, logits + (size_t)i * (size_t)toy_n_vocab(s->engine));
    }
    return 0;
}

void bitparity_close(bitparity_session* s) {
    toy_close(s->engine);
    free(s);
}

/* ---- Optional ---------------------------------------------------------------------------------------- */

const char* bitparity_about(const bitparity_session* s) {
    (void)s;
    return "version=1\nkernels=plain C\nkv_type=f32\n";
}

static void heard(void* session, const char* name, int layer, const float* values, int n) {
    bitparity_session* s = session;
    s->tap(s->user, name, layer, s->position, 1, n, values);
}

void bitparity_tap(bitparity_session* s, bitparity_tap_function tap, void* user) {
    s->tap = tap;
    s->user = user;
    toy_set_hook(s->engine, tap ? heard : NULL, s);
}
