// bitnet.h: looking inside a session.
#include <memory>
#include <string>

#include "bitnet.h"
#include "library/bad_input.hpp"
#include "library/boundary.hpp"
#include "library/stage_filter.hpp"
#include "library/structures.hpp"

using namespace bitnet;
using namespace bitnet::library;

namespace {

StageList stages_of(const OpenSession& session, const char* filter) {
    return stages_named(filter == nullptr ? "*:*" : filter, session.model().architecture(),
                        session.model().shape().n_layer);
}

}  // namespace

extern "C" {

bitnet_status bitnet_get_metrics(const bitnet_session* session, bitnet_metrics* metrics) {
    return guarded(__func__, [&] {
        const Metrics measured = UsedSession(session)->metrics();
        hand_out(bitnet_metrics{sizeof(bitnet_metrics), measured.prefill_tokens, measured.decode_tokens,
                                measured.prefill_seconds, measured.decode_seconds},
                 metrics);
        return BITNET_OK;
    });
}

bitnet_status bitnet_get_memory(const bitnet_session* session, bitnet_memory* memory) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        hand_out(bitnet_memory{sizeof(bitnet_memory), std::int64_t(used->model().file().size()),
                               std::int64_t(used->model().owned_bytes()), std::int64_t(used->cache_bytes()),
                               std::int64_t(used->logits_bytes())},
                 memory);
        return BITNET_OK;
    });
}

bitnet_status bitnet_reset_metrics(bitnet_session* session) {
    return guarded(__func__, [&] {
        UsedSession(session)->reset_metrics();
        return BITNET_OK;
    });
}

bitnet_status bitnet_tap(bitnet_session* session, const char* filter, bitnet_tap_function tap, void* user) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        used->watchers().set_tap(tap == nullptr ? StageList() : stages_of(*used, filter), tap, user);
        return BITNET_OK;
    });
}

bitnet_status bitnet_trace_start(bitnet_session* session, const char* folder, const char* filter) {
    return guarded(__func__, [&] {
        const UsedSession used(session);
        if (folder == nullptr) throw BadInput("the folder is null");
        StageList stages = stages_of(*used, filter);
        auto trace = std::make_unique<TraceWriter>(folder, used->model(), used->threads(),
                                                   filter == nullptr ? "*:*" : filter);
        used->watchers().set_trace(std::move(stages), std::move(trace));
        return BITNET_OK;
    });
}

bitnet_status bitnet_trace_stop(bitnet_session* session) {
    return guarded(__func__, [&] {
        UsedSession(session)->watchers().set_trace({}, nullptr);
        return BITNET_OK;
    });
}

}  // extern "C"
