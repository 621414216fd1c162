/* An engine that answers with logits that another one computed: MODEL.gguf.logits holds an int32, the size of the
 * vocabulary, then float32 rows, one a position.  So its numbers are right, and it fails as REPLAY_FAULT says when it
 * comes to position 17.
 */
#define _GNU_SOURCE
#include <bitparity/engine.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FAULT_AT 17

struct bitparity_session {
    int32_t n_vocab;
    int32_t held;
    FILE* file;
    bitparity_tap_function tap;
    void* user;
};

static int is_fault(const char* name) {
    const char* fault = getenv("REPLAY_FAULT");
    return fault != NULL && strcmp(fault, name) == 0;
}

bitparity_session* bitparity_open(const char* gguf, int32_t context, int32_t threads, int32_t device,
                                  char* error, size_t error_size) {
    (void)context, (void)threads;
    char path[4096];
    snprintf(path, sizeof path, "%s.logits", gguf);
    if (device != -1) {
        snprintf(error, error_size, "there is no device %d", device);
        return NULL;
    }
    FILE* file = fopen(path, "rb");
    if (file == NULL) {
        snprintf(error, error_size, "nobody computed %s", path);
        return NULL;
    }
    bitparity_session* session = calloc(1, sizeof *session);
    session->file = file;
    if (fread(&session->n_vocab, sizeof session->n_vocab, 1, file) != 1) abort();
    return session;
}

int32_t bitparity_n_vocab(const bitparity_session* session) {
    return session->n_vocab + (is_fault("padding") ? 32 : 0);
}

void bitparity_close(bitparity_session* session) {
    if (is_fault("close")) abort();
    fclose(session->file);
    free(session);
}

const char* bitparity_about(const bitparity_session* session) {
    (void)session;
    return "version=3.1\ncompiler=cc 1\nisa=plain\nkv_type=f32\ncolour=blue\n";
}

const char* bitparity_error(const bitparity_session* session) {
    (void)session;
    return "the disk\nis gone";
}

/* As if the machine had 1 GB. */
static void exceed_memory(void) {
    struct rlimit limit = {1UL << 30, 1UL << 30};
    setrlimit(RLIMIT_AS, &limit);
    for (;;) memset(malloc(1 << 26), 1, 1 << 26);
}

/* Into every file that it has not opened. */
static void write_rubbish(void) {
    char rubbish[64];
    memset(rubbish, 'x', sizeof rubbish);
    for (int file = 0; file < 64; file++) {
        if (write(file, rubbish, sizeof rubbish) < 0) continue;
    }
}

/* Whether the call fails with a code; what kills the process does not return. */
static int fail(float* logits) {
    fprintf(stderr, "about to fail\n");
    if (is_fault("segv")) raise(SIGSEGV);
    if (is_fault("abort")) abort();
    if (is_fault("exit")) _exit(3);
    if (is_fault("hang")) sleep(600);
    if (is_fault("nan")) logits[5] = NAN;
    if (is_fault("memory")) exceed_memory();
    if (is_fault("rubbish")) write_rubbish();
    return is_fault("code");
}

static void tell(const bitparity_session* session, int32_t position, int32_t n, const float* logits) {
    /* Out of order, under a name that nobody knows, and one that everybody does. */
    if (session->tap == NULL) return;
    session->tap(session->user, "strange", 0, position, n, session->n_vocab, logits);
    session->tap(session->user, "logits", -1, position, n, session->n_vocab, logits);
}

static int32_t forward(bitparity_session* session, int32_t n, int32_t position, int only_last,
                       float* logits) {
    if (position > session->held) return 1;
    session->held = position + n;
    size_t width = (size_t)session->n_vocab;
    for (int32_t i = only_last ? n - 1 : 0; i < n; i++) {
        if (is_fault("rows") && i > 1) break;
        long offset = (long)(sizeof(int32_t) + width * (size_t)(position + i) * sizeof(float));
        if (fseek(session->file, offset, SEEK_SET) != 0) return 2;
        if (fread(logits, sizeof(float), width, session->file) != width) return 3;
        if (position + i == FAULT_AT && fail(logits)) return 4;
        tell(session, position + i, 1, logits);
        logits += width;
    }
    return 0;
}

#ifndef LAST_ONLY
int32_t bitparity_forward(bitparity_session* session, const int32_t* ids, int32_t n, int32_t position,
                          float* logits) {
    (void)ids;
    return forward(session, n, position, 0, logits);
}
#endif

#if defined LAST_ONLY || defined OPTIONAL
int32_t bitparity_forward_last(bitparity_session* session, const int32_t* ids, int32_t n, int32_t position,
                               float* logits) {
    (void)ids;
    return forward(session, n, position, 1, logits);
}
#endif

#ifdef OPTIONAL
void bitparity_tap(bitparity_session* session, bitparity_tap_function tap, void* user) {
    session->tap = tap;
    session->user = user;
}

/* Bytes are tokens, after a BOS of 1. */
int32_t bitparity_tokenize(bitparity_session* session, const char* text, int32_t size, int32_t add_bos,
                           int32_t parse_special, int32_t* ids, int32_t capacity) {
    (void)session, (void)parse_special;
    int32_t count = size + (add_bos ? 1 : 0);
    if (count > capacity) return count;
    if (add_bos) *ids++ = 1;
    for (int32_t i = 0; i < size; i++) ids[i] = (unsigned char)text[i];
    return count;
}

int32_t bitparity_detokenize(bitparity_session* session, const int32_t* ids, int32_t n, char* text,
                             int32_t capacity) {
    (void)session;
    if (n * 20 > capacity) return n * 20;
    for (int32_t i = 0; i < n; i++) memset(text + 20 * i, (char)ids[i], 20);
    return n * 20;
}
#endif
