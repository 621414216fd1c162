#include "bitnet/tap.hpp"

namespace bitnet {

void Tap::select(const StageList& stages) { set(values_wanted, stages); }

void Tap::select(const StageList& stages, std::unique_ptr<Recorder> recorder) {
    set(record_wanted, stages);
    recorder_ = std::move(recorder);
}

void Tap::set(Wish wish, const StageList& stages) {
    for (auto& [key, wishes] : wanted_) wishes &= std::uint8_t(~wish);
    std::erase_if(wanted_, [](const auto& entry) { return entry.second == 0; });
    for (const StageKey& key : stages) wanted_[key] |= wish;
}

std::uint8_t Tap::wishes(int layer, const char* stage) const {
    if (wanted_.empty()) return 0;
    const auto found = wanted_.find({layer, stage});
    return found == wanted_.end() ? 0 : found->second;
}

void Tap::record(int layer, const char* stage, const ChunkRows& chunk, std::size_t width, int heads,
                 const float* values) {
    const std::uint8_t wished = wishes(layer, stage);
    if (wished & values_wanted) copy(layer, stage, chunk, width, values);
    if (wished & record_wanted) {
        recorder_->add(pool_, {layer, stage, chunk.position + chunk.first_row, chunk.rows,
                               chunk.call_rows, width, heads, values});
    }
}

void Tap::copy(int layer, const char* stage, const ChunkRows& chunk, std::size_t width, const float* values) {
    const auto [place, is_new] = places_.try_emplace({layer, stage}, records_.size());
    if (is_new) {
        records_.push_back({layer, stage, chunk.position, chunk.call_rows, {}});
        records_.back().values.reserve(std::size_t(chunk.call_rows) * width);
    }
    StageRecord& record = records_[place->second];
    record.values.insert(record.values.end(), values, values + std::size_t(chunk.rows) * width);
}

std::vector<StageRecord> Tap::take() {
    places_.clear();
    return std::exchange(records_, {});
}

}  // namespace bitnet
