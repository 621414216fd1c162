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

void Tap::select(int n_layer, const std::vector<std::pair<int, Stage>>& wanted) {
    active_ = !wanted.empty();
    wanted_.assign(std::size_t(n_layer + 1) * stage_count, 0);
    for (const auto& [layer, stage] : wanted)
        wanted_[std::size_t(layer + 1) * stage_count + std::size_t(stage)] = 1;
}

float* Tap::buffer(int layer, Stage stage, int position, int positions, std::size_t width) {
    StageRecord& record = records_[{layer, stage}];
    if (record.values.empty())
        record = {layer, stage, position, positions, std::vector<float>(positions * width)};
    return record.values.data();
}

void Tap::record(int layer, Stage stage, int position, int positions, int first_row, int rows,
                 std::size_t width, const float* values) {
    if (!wants(layer, stage)) return;
    float* all = buffer(layer, stage, position, positions, width);
    std::copy_n(values, rows * width, all + first_row * width);
}

std::vector<StageRecord> Tap::take() {
    std::vector<StageRecord> taken;
    for (auto& [key, record] : records_) taken.push_back(std::move(record));
    records_.clear();
    std::sort(taken.begin(), taken.end(), [](auto& x, auto& y) { return graph_order(x) < graph_order(y); });
    return taken;
}

}  // namespace bitnet
