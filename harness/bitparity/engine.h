/* An inference engine as a shared library: the engine contract of bitparity in C99.
 *
 * Write the four functions under "Required" around your engine, compile them into a shared library, and type
 *
 *     bitparity compare MODEL.gguf --candidate ./libengine.so
 *
 * Functions under "Optional" are looked up by name; a library that does not export one simply cannot do that.
 * Nothing has to be linked.  All strings are UTF-8.  Text that a function returns stays the library's.
 *
 * The library is loaded into a process of its own and called from one thread at a time.  It may print: the last
 * lines are shown when it fails.  Two sessions may be open at once.
 */
#ifndef BITPARITY_ENGINE_H
#define BITPARITY_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define BITPARITY_EXPORT __declspec(dllexport)
#else
#define BITPARITY_EXPORT __attribute__((visibility("default")))
#endif

/* The version of this file.  It grows when a function changes its meaning, never when one is added. */
#define BITPARITY_ENGINE_VERSION 1

#ifdef __cplusplus
extern "C" {
#endif

/* One model open, with the KV cache of one sequence; what is in it is yours. */
typedef struct bitparity_session bitparity_session;

/* ---- Required ---------------------------------------------------------------------------------------- */

/* Open a model.
 *
 * gguf     path of the model file
 * context  positions that the session must hold
 * threads  threads to compute with, at least 1
 * device   accelerator, counted from 0; -1 for none
 * error    where to write why it failed, ended by a zero, at most error_size bytes with it
 *
 * Returns NULL when it failed.
 */
BITPARITY_EXPORT bitparity_session* bitparity_open(const char* gguf, int32_t context, int32_t threads,
                                                   int32_t device, char* error, size_t error_size);

/* The length of a row of logits. */
BITPARITY_EXPORT int32_t bitparity_n_vocab(const bitparity_session* session);

/* Run tokens causally, as one batch.
 *
 * ids       n token ids; n = 1 is a decode step
 * position  where the first of them stands, counted from 0.  It is at most the number of tokens that the session
 *           holds; when it is smaller, every token from there on is forgotten first (rollback).
 * logits    out, float32 (n, n_vocab), C order: raw logits, not probabilities
 *
 * Returns 0, or anything else when it failed; bitparity_error then says why.  Ids outside the vocabulary and
 * positions beyond the context are never asked for.  A row that is left unwritten is noticed.
 *
 * An engine that has logits of the last position only exports bitparity_forward_last instead.
 */
BITPARITY_EXPORT int32_t bitparity_forward(bitparity_session* session, const int32_t* ids, int32_t n,
                                           int32_t position, float* logits);

/* Close the session and free what it holds. */
BITPARITY_EXPORT void bitparity_close(bitparity_session* session);

/* ---- Optional ---------------------------------------------------------------------------------------- */

/* BITPARITY_ENGINE_VERSION of the header that the library was written for; without it, 1. */
BITPARITY_EXPORT uint32_t bitparity_version(void);

/* Why the last call on this session failed. */
BITPARITY_EXPORT const char* bitparity_error(const bitparity_session* session);

/* The same as bitparity_forward, but logits is (1, n_vocab): those of the last of the n positions.
 *
 * Called where nobody looks at the others.  A library that exports it and no bitparity_forward is run token by
 * token where every position counts.
 */
BITPARITY_EXPORT int32_t bitparity_forward_last(bitparity_session* session, const int32_t* ids, int32_t n,
                                                int32_t position, float* logits);

/* What computes, a "key=value" a line: name (else the file's), version, compiler, isa, kernels, kv_type, and
 * arithmetic if it is known.  What is stated is shown, kept with the result and tested.
 */
BITPARITY_EXPORT const char* bitparity_about(const bitparity_session* session);

/* Turn text into token ids.
 *
 * text           size bytes
 * add_bos        not 0: put what the model's file asks for in front
 * parse_special  not 0: names of special tokens in the text mean those tokens
 * ids            out, room for capacity ids
 *
 * Returns how many ids there are, also when there is no room for them (then nothing counts as written), or a
 * negative number when it failed.
 */
BITPARITY_EXPORT int32_t bitparity_tokenize(bitparity_session* session, const char* text, int32_t size,
                                            int32_t add_bos, int32_t parse_special, int32_t* ids,
                                            int32_t capacity);

/* Turn n token ids into text of at most capacity bytes; returns bytes as bitparity_tokenize returns ids. */
BITPARITY_EXPORT int32_t bitparity_detokenize(bitparity_session* session, const int32_t* ids, int32_t n,
                                              char* text, int32_t capacity);

/* Takes what a stage of the graph put out, for consecutive positions of one call of bitparity_forward.
 *
 * user      as given to bitparity_tap
 * stage     the engine's own name of it, without the layer; a stage map leads from it to bitparity's
 * layer     block, counted from 0; -1 outside the blocks
 * position  of the first row
 * n, width  values has n rows of width float32 values, C order; the pointer is valid during the call only
 */
typedef void (*bitparity_tap_function)(void* user, const char* stage, int32_t layer, int32_t position,
                                       int32_t n, int64_t width, const float* values);

/* From now on call tap at every stage, before bitparity_forward returns; NULL ends it. */
BITPARITY_EXPORT void bitparity_tap(bitparity_session* session, bitparity_tap_function tap, void* user);

#ifdef __cplusplus
}
#endif

#endif
