// Records stages of a call for whoever listens; the names and their order are those of bitparity.stages.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace bitnet {

enum class Stage : std::uint8_t {
    embeddings,
    attn_norm,
    q_proj,
    k_proj,
    v_proj,
    q_rope,
    k_rope,
    attn_probs,
    attn_ctx,
    attn_sub_norm,
    attn_out,
    attn_residual,
    ffn_norm,
    ffn_gate,
    ffn_up,
    ffn_act,
    ffn_sub_norm,
    ffn_out,
    layer_out,
    final_norm,
    logits,
};
constexpr int stage_count = int(Stage::logits) + 1;
const char* stage_name(Stage stage);

// Values of one stage for every position of a call.
struct StageRecord {
    int layer;
    Stage stage;
    int position;  // first one covered
    int positions;
    std::vector<float> values;  // (positions, width)
};

class Tap {
public:
    // Which (layer, stage) to record from now on; layer is -1 outside the blocks.
    void select(int n_layer, const std::vector<std::pair<int, Stage>>& wanted);

    bool wants(int layer, Stage stage) const {
        return active_ && wanted_[std::size_t(layer + 1) * stage_count + std::size_t(stage)];
    }

    // Where the values of a stage go: (positions, width), zero at first.  A call that works in chunks asks
    // again for each.
    float* buffer(int layer, Stage stage, int position, int positions, std::size_t width);

    // Copies rows of a chunk, (rows, width), to their place; does nothing unless wanted.
    void record(int layer, Stage stage, int position, int positions, int first_row, int rows,
                std::size_t width, const float* values);

    // The records of the call, in graph order; forgets them.
    std::vector<StageRecord> take();

private:
    bool active_ = false;
    std::vector<std::uint8_t> wanted_;
    std::map<std::pair<int, Stage>, StageRecord> records_;
};

}  // namespace bitnet
