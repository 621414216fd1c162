// Hands the values of stages to a listener while a call runs; the names of stages are those of bitparity.stages.
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

    // The listener that gets the stages of the next call, in graph order, each as soon as all its positions are
    // computed; null for none.
    void deliver_to(Receiver receiver);

    bool wants(int layer, const char* stage) const {
        return receiver_ && !wanted_.empty() && wanted_.contains({layer, stage});
    }

    // Copies the rows (chunk.rows, width) of a stage that is selected.
    void record(int layer, const char* stage, const ChunkRows& chunk, std::size_t width, const float* values);

private:
    std::set<StageKey> wanted_;
    Receiver receiver_;
    std::map<StageKey, StageRecord> unfinished_;
};

}  // namespace bitnet
