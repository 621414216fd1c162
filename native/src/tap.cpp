#include "bitnet/tap.hpp"

#include <algorithm>
#include <array>
#include <tuple>

namespace bitnet {
namespace {

constexpr std::array<const char*, stage_count> names{
    "embeddings", "attn_norm", "q_proj",        "k_proj",   "v_proj",        "q_rope",     "k_rope",
    "attn_probs", "attn_ctx",  "attn_sub_norm", "attn_out", "attn_residual", "ffn_norm",   "ffn_gate",
    "ffn_up",     "ffn_act",   "ffn_sub_norm",  "ffn_out",  "layer_out",     "final_norm", "logits",
};

std::tuple<int, int, int> graph_order(const StageRecord& record) {
    const int part = record.layer >= 0 ? 1 : record.stage == Stage::embeddings ? 0 : 2;
    return {part, record.layer, int(record.stage)};
}

}  // namespace

const char* stage_name(Stage stage) { return names[std::size_t(stage)]; }

void Tap::select(const StageList& stages) { set(values_wanted, stages); }

void Tap::select(const StageList& stages, std::unique_ptr<Recorder> recorder) {
    set(record_wanted, stages);
    recorder_ = std::move(recorder);
}

void Tap::set(Wish wish, const StageList& stages) {
    for (std::uint8_t& wishes : wanted_) wishes &= std::uint8_t(~wish);
    for (const auto& [layer, stage] : stages) wanted_[index(layer, stage)] |= wish;
}

void Tap::record(int layer, Stage stage, const ChunkRows& chunk, std::size_t width, int heads,
                 const float* values) {
    const std::uint8_t wishes = wanted_[index(layer, stage)];
    if (wishes & values_wanted) copy(layer, stage, chunk, width, values);
    if (wishes & record_wanted) {
        recorder_->add(pool_, {layer, stage_name(stage), chunk.position + chunk.first_row, chunk.rows,
                               chunk.call_rows, width, heads, values});
    }
}

void Tap::copy(int layer, Stage stage, const ChunkRows& chunk, std::size_t width, const float* values) {
    StageRecord& record = records_[{layer, stage}];
    if (record.values.empty()) {
        record = {layer, stage, chunk.position, chunk.call_rows, {}};
        record.values.reserve(std::size_t(chunk.call_rows) * width);
    }
    record.values.insert(record.values.end(), values, values + std::size_t(chunk.rows) * width);
}

std::vector<StageRecord> Tap::take() {
    std::vector<StageRecord> taken;
    for (auto& [key, record] : records_) taken.push_back(std::move(record));
    records_.clear();
    std::sort(taken.begin(), taken.end(), [](auto& x, auto& y) { return graph_order(x) < graph_order(y); });
    return taken;
}

}  // namespace bitnet
