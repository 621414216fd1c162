// Records stages of a call for whoever listens; the names and their order are those of bitparity.stages.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bitnet/recorder.hpp"
#include "bitnet/thread_pool.hpp"

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

// Rows of a stage that a chunk of a call has computed.
struct ChunkRows {
    int position;   // first one of the call
    int call_rows;  // of the whole call
    int first_row;  // of the chunk, in the call
    int rows;
};

using StageList = std::vector<std::pair<int, Stage>>;  // (layer, stage); layer is -1 outside the blocks

class Tap {
public:
    Tap(ThreadPool& pool, int n_layer) : pool_(pool), wanted_(std::size_t(n_layer + 1) * stage_count) {}

    // Which stages to copy from now on.
    void select(const StageList& stages);

    // Which stages to make trace records of from now on; none, and null, ends that.
    void select(const StageList& stages, std::unique_ptr<Recorder> recorder);

    bool wants(int layer, Stage stage) const { return wanted_[index(layer, stage)] != 0; }

    // Copies, or makes records of, rows (chunk.rows, width) where that is wanted.  heads is that of
    // StageRows.
    void record(int layer, Stage stage, const ChunkRows& chunk, std::size_t width, int heads,
                const float* values);

    // The values of the call, in graph order; forgets them.
    std::vector<StageRecord> take();

    // The trace records of the call; nothing without a recorder.
    std::vector<std::string> take_lines(int seq) {
        return recorder_ ? recorder_->take(pool_, seq) : std::vector<std::string>();
    }

private:
    enum Wish : std::uint8_t { values_wanted = 1, record_wanted = 2 };
    static std::size_t index(int layer, Stage stage) {
        return std::size_t(layer + 1) * stage_count + std::size_t(stage);
    }
    void set(Wish wish, const StageList& stages);
    void copy(int layer, Stage stage, const ChunkRows& chunk, std::size_t width, const float* values);

    ThreadPool& pool_;
    std::vector<std::uint8_t> wanted_;
    std::map<std::pair<int, Stage>, StageRecord> records_;
    std::unique_ptr<Recorder> recorder_;
};

}  // namespace bitnet
