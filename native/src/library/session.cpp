#include "library/session.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include "library/bad_input.hpp"
#include "library/words.hpp"

namespace bitnet::library {
namespace {

constexpr int usual_context = 2048;
constexpr int largest_context = 1 << 24;  // far from where sizes of the KV cache would overflow
constexpr int most_threads = 1024;

int choose_context(int asked, const Shape& shape) {
    if (asked < 0 || asked > largest_context) {
        throw BadInput("a context of " + std::to_string(asked) +
                       " positions cannot be opened; it may have 1 to " + with_commas(largest_context) +
                       ", or 0 for the usual one");
    }
    return asked != 0 ? asked : std::min(usual_context, shape.context_length);
}

int choose_threads(int asked) {
    if (asked < 0 || asked > most_threads) {
        throw BadInput(std::to_string(asked) + " threads cannot be had; there may be 1 to " +
                       std::to_string(most_threads) + ", or 0 for as many as the machine runs");
    }
    if (asked != 0) return asked;
    return std::clamp(int(std::thread::hardware_concurrency()), 1, most_threads);
}

}  // namespace

OpenSession::OpenSession(std::shared_ptr<OpenModel> model, const SessionChoices& choices)
    : model_(std::move(model)),
      threads_(choose_threads(choices.threads)),
      keep_all_(choices.keep_logits),
      core_(model_->mapped().model, model_->kernels(),
            {choose_context(choices.context, model_->shape()), threads_, model_->arithmetic(), {}}) {}

void OpenSession::check(const std::int32_t* ids, int n) const {
    if (is_broken_) throw std::runtime_error("a call on the session ran out of memory; open another");
    if (n < 1 || ids == nullptr) throw BadInput("no tokens to run; give at least one");
    const int n_vocab = model_->shape().n_vocab;
    for (int i = 0; i < n; ++i) {
        if (ids[i] >= 0 && ids[i] < n_vocab) continue;
        throw BadInput("token id " + std::to_string(ids[i]) + " at offset " + std::to_string(i) +
                       " is outside the vocabulary of " + std::to_string(n_vocab));
    }
    if (n > context() - position()) {
        throw BadInput(std::to_string(n) + " tokens at position " + std::to_string(position()) +
                       " do not fit the context of " + std::to_string(context()));
    }
}

void OpenSession::run(const std::int32_t* ids, int n, Step step, LogitsOf which) {
    check(ids, n);
    const int rows = which == LogitsOf::all ? n : 1;
    std::vector<float> values(std::size_t(rows) * std::size_t(model_->shape().n_vocab));
    if (!keep_all_) kept_.clear();
    kept_.push_back({position() + n - rows, rows, std::move(values)});
    run_into(ids, n, step, which, kept_.back().values.data());
}

void OpenSession::run_into(const std::int32_t* ids, int n, Step step, LogitsOf which, float* logits) {
    check(ids, n);
    tokens_.reserve(tokens_.size() + std::size_t(n));
    seq_ = step == Step::decode ? seq_ + 1 : seq_;
    watchers_.begin(core_.tap(), step == Step::decode ? seq_ : 0);
    const auto started = std::chrono::steady_clock::now();
    run_core(ids, n, which, logits);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
    tokens_.insert(tokens_.end(), ids, ids + n);
    (step == Step::decode ? metrics_.decode_tokens : metrics_.prefill_tokens) += n;
    (step == Step::decode ? metrics_.decode_seconds : metrics_.prefill_seconds) += elapsed.count();
    watchers_.end(core_.tap());
}

// A call that ran out of memory leaves a KV cache that holds more than the position says.
void OpenSession::run_core(const std::int32_t* ids, int n, LogitsOf which, float* logits) {
    is_broken_ = true;
    core_.run(ids, n, which == LogitsOf::last, logits);
    is_broken_ = false;
}

void OpenSession::rollback(int to) {
    if (to < 0 || to > position()) {
        throw BadInput("rollback to " + std::to_string(to) + ", but the sequence holds " +
                       std::to_string(position()) + " positions");
    }
    core_.rollback(to);
    seq_ = to == 0 ? 0 : seq_;
    tokens_.resize(std::size_t(to));
    std::erase_if(kept_, [to](const Kept& kept) { return kept.position >= to; });
    for (Kept& kept : kept_) kept.rows = std::min(kept.rows, to - kept.position);
}

const float* OpenSession::logits(int position) const {
    for (const Kept& kept : kept_) {
        if (position < kept.position || position >= kept.position + kept.rows) continue;
        return kept.values.data() +
               std::size_t(position - kept.position) * std::size_t(model_->shape().n_vocab);
    }
    throw BadInput("the logits of position " + std::to_string(position) +
                   " are not kept: they are those of the last call, unless the session keeps all");
}

std::size_t OpenSession::cache_bytes() const {
    const Shape& shape = model_->shape();
    const std::size_t values = std::size_t(shape.n_layer) * std::size_t(shape.n_embd_kv());
    return 2 * values * std::size_t(context()) * sizeof(std::uint16_t);
}

std::size_t OpenSession::logits_bytes() const {
    std::size_t bytes = 0;
    for (const Kept& kept : kept_) bytes += kept.values.size() * sizeof(float);
    return bytes;
}

}  // namespace bitnet::library
