#include "bitnet/tap.hpp"

namespace bitnet {

void Tap::deliver_to(Receiver receiver) {
    receiver_ = std::move(receiver);
    unfinished_.clear();
}

void Tap::record(int layer, const char* stage, const ChunkRows& chunk, std::size_t width,
                 const float* values) {
    if (!wants(layer, stage)) return;
    const StageKey key{layer, stage};
    StageRecord& record = unfinished_[key];
    const std::size_t whole = std::size_t(chunk.call_rows) * width;
    if (record.values.empty()) {
        record = {layer, stage, chunk.position, chunk.call_rows, {}};
        record.values.reserve(whole);
    }
    record.values.insert(record.values.end(), values, values + std::size_t(chunk.rows) * width);
    if (record.values.size() == whole) receiver_(std::move(unfinished_.extract(key).mapped()));
}

}  // namespace bitnet
