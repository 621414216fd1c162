// Hands the stages of a call to whoever listens; the names are those of bitparity.stages.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bitnet {

// Values of one stage for every position of a call.
struct StageRecord {
    int layer;
    std::string stage;
    int position;  // first one covered
    int positions;
    std::vector<float> values;  // (positions, width)
};

// Rows of a stage that a chunk of a call has computed.
struct ChunkRows {
    int position;   // first one of the call
    int call_rows;  // of the whole call
    int rows;
};

using StageKey = std::pair<int, std::string>;  // (layer, stage); layer is -1 outside the blocks
using StageList = std::vector<StageKey>;

class Tap {
public:
    using Receiver = std::function<void(StageRecord)>;

    // Which stages to copy from now on; those that are never computed are never copied.
    void select(const StageList& stages) { wanted_ = {stages.begin(), stages.end()}; }

    // Who gets the stages of the next call, in graph order, each as soon as all its positions are computed;
    // nobody, if null.
    void deliver_to(Receiver receiver);

    bool wants(int layer, const char* stage) const {
        return receiver_ && !wanted_.empty() && wanted_.contains({layer, stage});
    }

    // Copies rows (chunk.rows, width) where that is wanted.
    void record(int layer, const char* stage, const ChunkRows& chunk, std::size_t width, const float* values);

private:
    std::set<StageKey> wanted_;
    Receiver receiver_;
    std::map<StageKey, StageRecord> unfinished_;
};

}  // namespace bitnet
