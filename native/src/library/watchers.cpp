#include "library/watchers.hpp"

#include <utility>

namespace bitnet::library {

void Watchers::set_tap(StageList stages, bitnet_tap_function tap, void* user) {
    tapped_ = {stages.begin(), stages.end()};
    tap_ = tap;
    user_ = user;
}

void Watchers::set_trace(StageList stages, std::unique_ptr<TraceWriter> trace) {
    traced_ = {stages.begin(), stages.end()};
    trace_ = std::move(trace);
}

void Watchers::begin(Tap& tap, int seq) {
    if (tap_ == nullptr && trace_ == nullptr) return;
    std::set<StageKey> wanted = tapped_;
    wanted.insert(traced_.begin(), traced_.end());
    tap.select({wanted.begin(), wanted.end()});
    tap.deliver_to([this, seq](StageRecord record) {
        if (thrown_) return;
        try {
            hand_out(record, seq);
        } catch (...) {
            thrown_ = std::current_exception();
        }
    });
}

void Watchers::end(Tap& tap) {
    tap.deliver_to(nullptr);
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

void Watchers::hand_out(const StageRecord& record, int seq) {
    const StageKey key{record.layer, record.stage};
    if (tap_ != nullptr && tapped_.contains(key)) {
        tap_(user_, record.stage.c_str(), record.layer, record.position, record.positions,
             std::int64_t(record.values.size()) / record.positions, record.values.data());
    }
    if (trace_ != nullptr && traced_.contains(key)) trace_->write(record, seq);
}

}  // namespace bitnet::library
