// The toy as an engine of bitparity, in C++.
#include <bitparity/engine.h>

#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include "toy.h"

struct bitparity_session {
    std::unique_ptr<toy, decltype(&toy_close)> engine;
    std::string error;
};

namespace {

bitparity_session* open(const char* gguf, int32_t context) {
    char why[256] = "";
    std::unique_ptr<toy, decltype(&toy_close)> engine(toy_open(gguf, context, why, sizeof why), toy_close);
    if (!engine) throw std::runtime_error(why);
    return new bitparity_session{std::move(engine), {}};
}

}  // namespace

bitparity_session* bitparity_open(const char* gguf, int32_t context, int32_t /*threads*/, int32_t /*device*/,
                                  char* error, size_t error_size) try {
    return open(gguf, context);
} catch (const std::exception& problem) {  // no exception may cross a C function
    std::snprintf(error, error_size, "%s", problem.what());
    return nullptr;
}

int32_t bitparity_n_vocab(const bitparity_session* session) { return toy_n_vocab(session->engine.get()); }

int32_t bitparity_forward(bitparity_session* session, const int32_t* ids, int32_t n, int32_t position,
                          float* logits) try {
    for (int32_t i = 0; i < n; ++i, logits += toy_n_vocab(session->engine.get()))
        toy_step(session->engine.get(), ids[i], position + i, logits);
    return 0;
} catch (const std::exception& problem) {
    session->error = problem.what();
    return 1;
}

const char* bitparity_error(const bitparity_session* session) { return session->error.c_str(); }

void bitparity_close(bitparity_session* session) { delete session; }
