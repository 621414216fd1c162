// One sequence of an open model: the core's session with what it was run on and the logits that it kept.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "bitnet/session.hpp"
#include "library/model.hpp"
#include "library/watchers.hpp"

namespace bitnet::library {

struct SessionChoices {
    int context = 0;  // 0: 2048 or what the model was trained for, if that is less
    int threads = 0;  // 0: as many as the machine runs at once
    bool keep_logits = false;
};

// What a call is to metrics and traces.
enum class Step : std::uint8_t { prefill, decode };

// Whose logits a call computes.
enum class LogitsOf : std::uint8_t { all, last };

struct Metrics {
    std::int64_t prefill_tokens = 0, decode_tokens = 0;
    double prefill_seconds = 0, decode_seconds = 0;
};

class OpenSession {
public:
    // Throws BadInput for a context or threads that cannot be, std::bad_alloc for too little memory.
    OpenSession(std::shared_ptr<OpenModel> model, const SessionChoices& choices);

    const OpenModel& model() const { return *model_; }
    int position() const { return core_.position(); }
    int context() const { return core_.context(); }
    int threads() const { return threads_; }
    const std::vector<std::int32_t>& tokens() const { return tokens_; }
    const Metrics& metrics() const { return metrics_; }
    void reset_metrics() { metrics_ = {}; }
    Watchers& watchers() { return watchers_; }

    // Runs tokens and keeps their logits.  Throws BadInput for no tokens, an id outside the vocabulary, and more tokens
    // than the context has room for; nothing has changed then.  What watchers throw is thrown when all is done.
    void run(const std::int32_t* ids, int n, Step step, LogitsOf which);
    // The same, but logits, (n, n_vocab) or (1, n_vocab), are written there and not kept.
    void run_into(const std::int32_t* ids, int n, Step step, LogitsOf which, float* logits);
    // Forgets positions >= to.  Throws BadInput unless 0 <= to <= position().
    void rollback(int to);

    // (n_vocab,), until the next run or rollback.  Throws BadInput for a position whose logits are not kept.
    const float* logits(int position) const;

    std::size_t cache_bytes() const;
    std::size_t logits_bytes() const;

    std::mutex busy;  // held by whoever uses the session

private:
    // Logits of consecutive positions.
    struct Kept {
        int position, rows;
        std::vector<float> values;
    };

    void check(const std::int32_t* ids, int n) const;
    void run_core(const std::int32_t* ids, int n, LogitsOf which, float* logits);

    std::shared_ptr<OpenModel> model_;
    int threads_;
    bool keep_all_;
    Session core_;
    std::vector<std::int32_t> tokens_;
    std::vector<Kept> kept_;
    Metrics metrics_;
    Watchers watchers_;
    int seq_ = 0;  // of the last decode step
    bool is_broken_ = false;
};

}  // namespace bitnet::library
