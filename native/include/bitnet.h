/* libbitnet: BitNet b1.58 inference on the CPU, as a C99 library.
 *
 *     bitnet_model* model = bitnet_model_load("model.gguf", NULL);
 *     bitnet_session* session = bitnet_session_open(model, NULL);
 *     if (session == NULL) fprintf(stderr, "%s\n", bitnet_last_error());
 *     ...
 *     bitnet_session_free(session);
 *     bitnet_model_free(model);
 *
 * Handles.  A model and a session are handles.  NULL and a handle that was freed are found out: a call with one fails
 * with BITNET_CLOSED, and freeing one does nothing.  Sessions keep their model alive.
 *
 * Errors.  A call fails with a negative bitnet_status or, where it gives a pointer, with NULL; bitnet_last_error then
 * says why, in a sentence.  No call ends the program, throws, or prints.
 *
 * Threads.  Calls may come from any thread.  A session is used by one call at a time; another fails with BITNET_BUSY,
 * and so does a call on the session from a callback of its own.  Results do not depend on the number of threads.
 *
 * Structures.  The first member of a structure that the caller fills in is its size: call its _init function, which
 * sets the size and the defaults.  Later versions add members at the end only.
 *
 * Texts are UTF-8.  A text that a call returns as a pointer is the library's and stays as long as its handle is open.
 * The library also exports the functions of bitparity's engine.h, which lets bitparity compare it with other engines.
 */
#ifndef BITNET_H
#define BITNET_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define BITNET_EXPORT __declspec(dllexport)
#else
#define BITNET_EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when a function or a structure changes its meaning, never when one is added. */
#define BITNET_ABI_VERSION 1

typedef enum bitnet_status {
    BITNET_OK = 0,
    BITNET_BAD_INPUT = -1, /* an argument, a file or a text that is wrong */
    BITNET_CLOSED = -2,    /* a handle that is null or not open */
    BITNET_NO_DEVICE = -3, /* a device that does not exist */
    BITNET_BUSY = -4,      /* another call is using the session */
    BITNET_NO_MEMORY = -5,
    BITNET_FAILED = -6 /* anything else */
} bitnet_status;

typedef struct bitnet_model bitnet_model;
typedef struct bitnet_session bitnet_session;

/* ---- The library ---------------------------------------------------------------------------------------- */

/* "0.1.0". */
BITNET_EXPORT const char* bitnet_version(void);

/* BITNET_ABI_VERSION of the library; a program checks it against its header's. */
BITNET_EXPORT uint32_t bitnet_abi_version(void);

/* What compiled the library: "gcc 12.2.0". */
BITNET_EXPORT const char* bitnet_compiler(void);

/* Prepare the library; BITNET_BAD_INPUT when it cannot serve a program that was compiled for abi_version.  Calls
 * work without it.
 */
BITNET_EXPORT bitnet_status bitnet_init(uint32_t abi_version);

/* Free every model and session that is still open. */
BITNET_EXPORT void bitnet_cleanup(void);

/* Why the last call of this thread that failed did so; empty when none has.  It stays until the next failure. */
BITNET_EXPORT const char* bitnet_last_error(void);

/* "BITNET_BUSY" for BITNET_BUSY; "unknown" for what is no status. */
BITNET_EXPORT const char* bitnet_status_name(int32_t status);

/* ---- Devices and kernel sets ---------------------------------------------------------------------------- */

/* Accelerators, counted from 0.  This version computes on the CPU only, so there are none. */
BITNET_EXPORT int32_t bitnet_device_count(void);

/* What a device is called; -1 is the CPU.  NULL for one that does not exist. */
BITNET_EXPORT const char* bitnet_device_name(int32_t device_id);

/* Sets of kernels that this CPU runs, best first: "avx512_zen4", "avx512", "avx2", "portable".  All compute the
   same bits. */
BITNET_EXPORT int32_t bitnet_kernel_set_count(void);
BITNET_EXPORT const char* bitnet_kernel_set_name(int32_t index);

/* Threads that the machine runs at once. */
BITNET_EXPORT int32_t bitnet_hardware_threads(void);

/* ---- Models --------------------------------------------------------------------------------------------- */

typedef struct bitnet_model_config {
    size_t size;
    int32_t device_id; /* -1, the CPU */
    const char*
        arithmetic; /* which build of ggml to compute like, to the bit: "llama.cpp/avx512/gcc"; NULL takes
                               bitnet.cpp's for I2_S weights and models that only it runs, else llama.cpp's */
    const char* kernels; /* name of a kernel set; NULL for the best */
} bitnet_model_config;

typedef struct bitnet_model_info {
    size_t size;
    int32_t n_vocab, n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff;
    int32_t context_length; /* positions that the model was trained for */
    int32_t head_is_tied;   /* whether the head is the embedding */
    int64_t n_tensors;
    int64_t n_parameters;
    int64_t mapped_bytes; /* of the file, shared with whoever else maps it */
    int64_t owned_bytes;  /* copies of norms, and of matrices that cannot be used as they lie */
} bitnet_model_info;

BITNET_EXPORT void bitnet_model_config_init(bitnet_model_config* config);

/* Open a GGUF file, which is mapped and not read; a model in several files is named by the first.  A config of NULL
   means the defaults. */
BITNET_EXPORT bitnet_model* bitnet_model_load(const char* path, const bitnet_model_config* config);

/* Close a model; what its sessions need stays until they are freed. */
BITNET_EXPORT void bitnet_model_free(bitnet_model* model);

/* Fills in the first info->size bytes. */
BITNET_EXPORT bitnet_status bitnet_model_get_info(const bitnet_model* model, bitnet_model_info* info);

/* "bitnet-b1.58". */
BITNET_EXPORT const char* bitnet_model_architecture(const bitnet_model* model);

/* What computes, and the weight formats, a "key=value" a line: version, compiler, isa, kernels, kv_type, arithmetic,
 * architecture, weight_formats.
 */
BITNET_EXPORT const char* bitnet_model_description(const bitnet_model* model);

/* A value of the file's metadata as text, at most capacity bytes with the zero that ends it.  Returns its bytes
 * without the zero, also when they do not fit; BITNET_BAD_INPUT for a key that the file does not have.
 */
BITNET_EXPORT int32_t bitnet_model_metadata(const bitnet_model* model, const char* key, char* text,
                                            size_t capacity);

/* The length of a row of logits. */
BITNET_EXPORT int32_t bitnet_n_vocab(const bitnet_model* model);

/* ---- Text ----------------------------------------------------------------------------------------------- */

/* Turn text of size bytes into token ids, with the vocabulary and the rules that the model's file names.
 *
 * add_bos        not 0: put what the file asks for in front, and at the end
 * parse_special  not 0: names of special tokens in the text mean those tokens
 * ids            out, room for capacity ids; may be NULL
 *
 * Returns how many ids there are, also when there is no room for them; then nothing is written.
 */
BITNET_EXPORT int32_t bitnet_tokenize(const bitnet_model* model, const char* text, size_t size,
                                      int32_t add_bos, int32_t parse_special, int32_t* ids, int32_t capacity);

/* The bytes of n tokens, without a zero at their end: special tokens give their name, and what tokenizing added (BOS,
 * a leading space) is in it.  A token may hold a part of a character, so they may begin or end inside one.  Returns
 * how many bytes there are, also when there is no room for them; then nothing is written.
 */
BITNET_EXPORT int32_t bitnet_detokenize(const bitnet_model* model, const int32_t* ids, int32_t n, char* text,
                                        size_t capacity);

/* A token as the vocabulary spells it: "\xc4\xa0the". */
BITNET_EXPORT const char* bitnet_token_text(const bitnet_model* model, int32_t id);

/* 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; 0 for what the file leaves open. */
BITNET_EXPORT int32_t bitnet_token_type(const bitnet_model* model, int32_t id);

/* Enumerations are taken as int32_t, so that a number that is none of them can be refused in words. */
typedef enum bitnet_special { BITNET_BOS = 0, BITNET_EOS = 1, BITNET_EOT = 2 } bitnet_special;

/* The id of a special token; -1 where the vocabulary has none. */
BITNET_EXPORT int32_t bitnet_special_token(const bitnet_model* model, int32_t which /* bitnet_special */);

/* 1 for a token that ends a text (EOS, EOT), 0 for others. */
BITNET_EXPORT int32_t bitnet_is_end_token(const bitnet_model* model, int32_t id);

/* ---- Sessions: one sequence of tokens and its KV cache -------------------------------------------------- */

typedef struct bitnet_session_config {
    size_t size;
    int32_t context; /* positions to make room for; 0 for 2048, or what the model was trained for if less */
    int32_t threads; /* 0 for as many as the machine runs at once */
    int32_t keep_logits; /* not 0: keep the logits of all calls and not of the last one only */
} bitnet_session_config;

/* Whose logits a call computes. */
typedef enum bitnet_logits_of { BITNET_LOGITS_ALL = 0, BITNET_LOGITS_LAST = 1 } bitnet_logits_of;

BITNET_EXPORT void bitnet_session_config_init(bitnet_session_config* config);

/* A config of NULL means the defaults. */
BITNET_EXPORT bitnet_session* bitnet_session_open(bitnet_model* model, const bitnet_session_config* config);

BITNET_EXPORT void bitnet_session_free(bitnet_session* session);

/* Tokens that the session holds, which is the position of the next one. */
BITNET_EXPORT int32_t bitnet_position(const bitnet_session* session);

/* Positions that the session has room for. */
BITNET_EXPORT int32_t bitnet_context(const bitnet_session* session);

BITNET_EXPORT int32_t bitnet_threads(const bitnet_session* session);

/* Run n tokens as one batch, causally, from bitnet_position on. */
BITNET_EXPORT bitnet_status bitnet_prefill(bitnet_session* session, const int32_t* ids, int32_t n,
                                           int32_t which /* bitnet_logits_of */);

/* Run one token. */
BITNET_EXPORT bitnet_status bitnet_decode(bitnet_session* session, int32_t id);

/* Forget every position >= to; 0 <= to <= bitnet_position. */
BITNET_EXPORT bitnet_status bitnet_rollback(bitnet_session* session, int32_t to);

/* The logits that a position gave for the next one, (n_vocab,): valid until the next call that runs or forgets
 * tokens.  NULL for a position whose logits were not computed or not kept (bitnet_session_config.keep_logits).
 */
BITNET_EXPORT const float* bitnet_logits(const bitnet_session* session, int32_t position);

/* The same, copied to room for n_vocab values. */
BITNET_EXPORT bitnet_status bitnet_copy_logits(const bitnet_session* session, int32_t position, float* logits,
                                               int32_t capacity);

/* The tokens that the session holds.  Returns how many there are, also when there is no room for them. */
BITNET_EXPORT int32_t bitnet_session_tokens(const bitnet_session* session, int32_t* ids, int32_t capacity);

/* ---- Generation ----------------------------------------------------------------------------------------- */

/* How the next token is chosen from logits, in this order:
 *
 *   1. logits of the tokens in the last repetition_window are divided by repetition_penalty where positive, else
 *      multiplied by it;
 *   2. with temperature 0 the largest is taken, the first of equals; nothing below matters then;
 *   3. the top_k largest stay;
 *   4. they are divided by temperature and become probabilities; the fewest largest whose sum reaches top_p stay;
 *   5. one of them is drawn.  The draw depends on seed and on the position of the new token only, so a generation
 *      can be repeated from anywhere.
 */
typedef struct bitnet_generation_config {
    size_t size;
    int32_t max_tokens;        /* 32 */
    int32_t ignore_end;        /* 0; not 0: go on behind tokens that end a text */
    float temperature;         /* 0 */
    int32_t top_k;             /* 0, all */
    float top_p;               /* 1, all */
    float repetition_penalty;  /* 1, none */
    int32_t repetition_window; /* 64 */
    uint64_t seed;             /* 0 */
} bitnet_generation_config;

/* One generated token, as a callback gets it; everything that it points to is valid during the callback only. */
typedef struct bitnet_generated {
    int32_t token;
    int32_t position;    /* that it has in the sequence */
    int32_t is_end;      /* not 0 for a token that ends the text; its piece is empty */
    int32_t piece_size;  /* bytes */
    const char* piece;   /* may begin or end inside a character, without a zero at its end */
    const float* logits; /* (n_vocab,), that it was chosen from, unchanged */
    int32_t n_vocab;
} bitnet_generated;

/* Returns 0 to go on, anything else to stop behind this token.  It may free its session, but not use it. */
typedef int32_t (*bitnet_stream_function)(void* user, const bitnet_generated* generated);

BITNET_EXPORT void bitnet_generation_config_init(bitnet_generation_config* config);

/* Choose the token that follows the last position, from its logits.  Nothing is run.  A config of NULL means greedy. */
BITNET_EXPORT int32_t bitnet_sample(const bitnet_session* session, const bitnet_generation_config* config);

/* Run n ids as one batch, then choose and run tokens until max_tokens, the end of the text, the end of the context, or
 * the callback's word.  With n = 0 it goes on from the logits of the last position.  The last token is not run.
 *
 * stream  called for each token; may be NULL
 * out     gets the first capacity of the tokens; may be NULL
 *
 * Returns how many tokens were generated.
 */
BITNET_EXPORT int32_t bitnet_generate(bitnet_session* session, const int32_t* ids, int32_t n,
                                      const bitnet_generation_config* config, bitnet_stream_function stream,
                                      void* user, int32_t* out, int32_t capacity);

/* The same for a text that is ended by a zero: what the model's file asks for is put in front at position 0. */
BITNET_EXPORT int32_t bitnet_generate_text(bitnet_session* session, const char* prompt,
                                           const bitnet_generation_config* config,
                                           bitnet_stream_function stream, void* user);

/* Tokens to tokens in a session of its own: at most capacity of them.  Returns how many. */
BITNET_EXPORT int32_t bitnet_inference_tokens(bitnet_model* model, const int32_t* ids, int32_t n,
                                              const bitnet_generation_config* config, int32_t* out,
                                              int32_t capacity);

/* Text to text in a session of its own: at most capacity bytes with the zero that ends it.  Returns the bytes of the
 * whole text without the zero.
 */
BITNET_EXPORT int32_t bitnet_inference(bitnet_model* model, const char* prompt,
                                       const bitnet_generation_config* config, char* text, size_t capacity);

/* ---- Batches -------------------------------------------------------------------------------------------- */

/* What one sequence of a batch runs; status says what became of it. */
typedef struct bitnet_batch_item {
    bitnet_session* session;
    const int32_t* ids;
    int32_t n;
    int32_t which; /* bitnet_logits_of */
    bitnet_status status;
} bitnet_batch_item;

/* Run items one after the other, as bitnet_prefill does; one that fails does not stop the others.  Returns the status
 * of the first that failed, which bitnet_last_error then tells of.
 */
BITNET_EXPORT bitnet_status bitnet_batch_run(bitnet_batch_item* items, int32_t n);

/* ---- Looking inside ------------------------------------------------------------------------------------- */

typedef struct bitnet_metrics {
    size_t size;
    int64_t prefill_tokens, decode_tokens; /* that were run */
    double prefill_seconds, decode_seconds;
} bitnet_metrics;

typedef struct bitnet_memory {
    size_t size;
    int64_t model_mapped_bytes, model_owned_bytes; /* shared by all sessions of the model */
    int64_t cache_bytes;  /* KV cache of the whole context; untouched pages take none */
    int64_t logits_bytes; /* that are kept */
} bitnet_memory;

/* Both fill in the first size bytes of the structure. */
BITNET_EXPORT bitnet_status bitnet_get_metrics(const bitnet_session* session, bitnet_metrics* metrics);
BITNET_EXPORT bitnet_status bitnet_get_memory(const bitnet_session* session, bitnet_memory* memory);

BITNET_EXPORT bitnet_status bitnet_reset_metrics(bitnet_session* session);

/* Takes what a stage of the graph put out, for the consecutive positions of one call.
 *
 * stage     its name, as bitparity has it: "ffn_act"
 * layer     block, counted from 0; -1 outside the blocks
 * position  of the first row
 * n, width  values has n rows of width float32 values; the pointer is valid during the callback only.  A row of
 *           attn_probs is (n_head, positions), zero for later positions.
 */
typedef void (*bitnet_tap_function)(void* user, const char* stage, int32_t layer, int32_t position, int32_t n,
                                    int64_t width, const float* values);

/* From now on call tap at the stages that the filter names, in the order of the graph; a tap of NULL ends it.
 *
 * filter  clauses `layer:stage` with commas between: "3:ffn_act", "0-3:attn_*", "-1:logits"; NULL is every stage
 */
BITNET_EXPORT bitnet_status bitnet_tap(bitnet_session* session, const char* filter, bitnet_tap_function tap,
                                       void* user);

/* From now on record the stages that the filter names into a new folder FOLDER/libbitnet (libbitnet-2, ... when there
 * is one): trace.jsonl has a line for every stage and position, with shape, BLAKE3 and statistics, and bitparity's
 * trace-diff and blame read it.
 */
BITNET_EXPORT bitnet_status bitnet_trace_start(bitnet_session* session, const char* folder,
                                               const char* filter);

/* Write what is left and close the trace; BITNET_OK when there is none. */
BITNET_EXPORT bitnet_status bitnet_trace_stop(bitnet_session* session);

#ifdef __cplusplus
}
#endif

#endif
