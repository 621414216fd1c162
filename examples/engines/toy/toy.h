/* A toy engine with an interface of its own, for the adapters beside it to stand on: BitNet b1.58 in plain
 * float32, one token at a time, from GGUF files of the architecture "bitnet" with F32 and F16 tensors.
 */
#ifndef TOY_H
#define TOY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct toy toy;

/* Called with what a step of the graph put out; the names are the toy's own. */
typedef void (*toy_hook)(void* user, const char* name, int layer, const float* values, int n);

/* Open a model with room for so many positions.  NULL when that fails; why is written to error. */
toy* toy_open(const char* path, int positions, char* error, size_t error_size);

/* Run one token at a position; everything later is forgotten.  logits has room for toy_n_vocab values. */
void toy_step(toy* engine, int token, int position, float* logits);

void toy_set_hook(toy* engine, toy_hook hook, void* user);
int toy_n_vocab(const toy* engine);
void toy_close(toy* engine);

#ifdef __cplusplus
}
#endif

#endif
