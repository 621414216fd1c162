// bitnet.h: sessions.
#include <algorithm>
#include <string>

#include "bitnet.h"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/structures.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

LogitsOf logits_of(int32_t which) {
    if (which == BITNET_LOGITS_ALL) return LogitsOf::all;
    if (which == BITNET_LOGITS_LAST) return LogitsOf::last;
    throw BadInput(std::to_string(int(which)) + " is no bitnet_logits_of");
}

}  // namespace

extern "C" {

void bitnet_session_config_init(bitnet_session_config* config) {
    if (config != nullptr) *config = {sizeof *config, 0, 0, 0};
}

bitnet_session* bitnet_session_open(bitnet_model* model, const bitnet_session_config* config) {
    return guarded(__func__, [&] {
        const bitnet_session_config given = filled_in(config, bitnet_session_config_init);
        const SessionChoices choices{given.context, given.threads, given.keep_logits != 0};
        return sessions().add(std::make_shared<OpenSession>(models().get(model), choices));
    });
}

void bitnet_session_free(bitnet_session* session) { sessions().close(session); }

int32_t bitnet_position(const bitnet_session* session) {
    return guarded(__func__, [&] { return int32_t(UsedSession(session)->position()); });
}

int32_t bitnet_context(const bitnet_session* session) {
    return guarded(__func__, [&] { return int32_t(sessions().get(session)->context()); });
}

int32_t bitnet_threads(const bitnet_session* session) {
    return guarded(__func__, [&] { return int32_t(sessions().get(session)->threads()); });
}

bitnet_status bitnet_prefill(bitnet_session* session, const int32_t* ids, int32_t n, int32_t which) {
    return guarded(__func__, [&] {
        UsedSession(session)->run(ids, n, Step::prefill, logits_of(which));
        return BITNET_OK;
    });
}

bitnet_status bitnet_decode(bitnet_session* session, int32_t id) {
    return guarded(__func__, [&] {
        UsedSession(session)->run(&id, 1, Step::decode, LogitsOf::last);
        return BITNET_OK;
    });
}

bitnet_status bitnet_rollback(bitnet_session* session, int32_t to) {
    return guarded(__func__, [&] {
        UsedSession(session)->rollback(to);
        return BITNET_OK;
    });
}

const float* bitnet_logits(const bitnet_session* session, int32_t position) {
    return guarded(__func__, [&] { return UsedSession(session)->logits(position); });
}

bitnet_status bitnet_copy_logits(const bitnet_session* session, int32_t position, float* logits,
                                 int32_t capacity) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        const int n_vocab = used->model().shape().n_vocab;
        if (logits == nullptr || capacity < n_vocab) {
            throw BadInput("there is no room for the " + std::to_string(n_vocab) + " logits of a position");
        }
        std::copy_n(used->logits(position), n_vocab, logits);
        return BITNET_OK;
    });
}

int32_t bitnet_session_tokens(const bitnet_session* session, int32_t* ids, int32_t capacity) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        const auto n = int32_t(used->tokens().size());
        if (ids != nullptr && capacity >= n) std::ranges::copy(used->tokens(), ids);
        return n;
    });
}

}  // extern "C"
