// bitparity's engine.h, for `bitparity compare --candidate libbitnet.so`.
#include <algorithm>
#include <cstring>
#include <string>

#include "engine.h"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/text_calls.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

// engine.h has a type of its own for what is a session here.
const bitnet_session* own(const bitparity_session* session) {
    return reinterpret_cast<const bitnet_session*>(session);
}

void run_at(OpenSession& session, const std::int32_t* ids, int n, int position, LogitsOf which,
            float* logits) {
    if (logits == nullptr) throw BadInput("there is nowhere to write logits to");
    if (position < session.position()) session.rollback(position);
    if (position > session.position()) {
        throw BadInput("position " + std::to_string(position) + " is beyond the " +
                       std::to_string(session.position()) + " tokens that the session holds");
    }
    session.run_into(ids, n, n == 1 ? Step::decode : Step::prefill, which, logits);
}

}  // namespace

extern "C" {

uint32_t bitparity_version(void) { return BITPARITY_ENGINE_VERSION; }

bitparity_session* bitparity_open(const char* gguf, int32_t context, int32_t threads, int32_t device,
                                  char* error, size_t error_size) {
    const auto open = [&] {
        if (gguf == nullptr) throw BadInput("the path is null");
        const auto model = open_model(gguf, ModelChoices{.device_id = device});
        return sessions().add(std::make_shared<OpenSession>(model, SessionChoices{context, threads, false}));
    };
    bitnet_session* session = guarded(__func__, open);
    if (session == nullptr && error != nullptr && error_size > 0) {
        const std::size_t length = std::min(error_size - 1, std::strlen(last_error()));
        std::memcpy(error, last_error(), length);
        error[length] = '\0';
    }
    return reinterpret_cast<bitparity_session*>(session);
}

int32_t bitparity_n_vocab(const bitparity_session* session) {
    return guarded(__func__, [&] { return int32_t(sessions().get(own(session))->model().shape().n_vocab); });
}

int32_t bitparity_forward(bitparity_session* session, const int32_t* ids, int32_t n, int32_t position,
                          float* logits) {
    return guarded(__func__, [&] {
        run_at(*UsedSession(own(session)), ids, n, position, LogitsOf::all, logits);
        return int32_t(0);
    });
}

int32_t bitparity_forward_last(bitparity_session* session, const int32_t* ids, int32_t n, int32_t position,
                               float* logits) {
    return guarded(__func__, [&] {
        run_at(*UsedSession(own(session)), ids, n, position, LogitsOf::last, logits);
        return int32_t(0);
    });
}

void bitparity_close(bitparity_session* session) { sessions().close(own(session)); }

// A session is called from one thread at a time, so the thread's last error is the session's.
const char* bitparity_error(const bitparity_session*) { return last_error(); }

const char* bitparity_about(const bitparity_session* session) {
    return guarded(__func__, [&] { return sessions().get(own(session))->model().description().c_str(); });
}

int32_t bitparity_tokenize(bitparity_session* session, const char* text, int32_t size, int32_t add_bos,
                           int32_t parse_special, int32_t* ids, int32_t capacity) {
    return guarded(__func__, [&] {
        if (size < 0) throw BadInput("the text has less than no bytes");
        const auto open = sessions().get(own(session));
        return tokenize(open->model().tokenizer(), text, size_t(size), add_bos != 0, parse_special != 0, ids,
                        capacity);
    });
}

int32_t bitparity_detokenize(bitparity_session* session, const int32_t* ids, int32_t n, char* text,
                             int32_t capacity) {
    return guarded(__func__, [&] {
        const auto open = sessions().get(own(session));
        return detokenize(open->model().tokenizer(), ids, n, text, size_t(std::max(0, capacity)));
    });
}

void bitparity_tap(bitparity_session* session, bitparity_tap_function tap, void* user) {
    bitnet_tap(const_cast<bitnet_session*>(own(session)), nullptr, tap, user);
}

}  // extern "C"
