// Records stages of a call for whoever listens; the names are those of bitparity.stages.
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
    int first_row;  // of the chunk, in the call
    int rows;
};

using StageKey = std::pair<int, std::string>;  // (layer, stage); layer is -1 outside the blocks
using StageList = std::vector<StageKey>;

class Tap {
public:
    explicit Tap(ThreadPool& pool) : pool_(pool) {}

    // Which stages to copy from now on; those that are never computed are never copied.
    void select(const StageList& stages);

    // Which stages to make trace records of from now on; none, and null, ends that.
    void select(const StageList& stages, std::unique_ptr<Recorder> recorder);

    bool wants(int layer, const char* stage) const { return wishes(layer, stage) != 0; }

    // Copies, or makes records of, rows (chunk.rows, width) where that is wanted.  heads is that of
    // StageRows.
    void record(int layer, const char* stage, const ChunkRows& chunk, std::size_t width, int heads,
                const float* values);

    // The values of the call, in the order in which their stages were first computed; forgets them.
    std::vector<StageRecord> take();

    // The trace records of the call; nothing without a recorder.
    std::vector<std::string> take_lines(int seq) {
        return recorder_ ? recorder_->take(pool_, seq) : std::vector<std::string>();
    }

private:
    enum Wish : std::uint8_t { values_wanted = 1, record_wanted = 2 };
    std::uint8_t wishes(int layer, const char* stage) const;
    void set(Wish wish, const StageList& stages);
    void copy(int layer, const char* stage, const ChunkRows& chunk, std::size_t width, const float* values);

    ThreadPool& pool_;
    std::map<StageKey, std::uint8_t> wanted_;
    std::vector<StageRecord> records_;
    std::map<StageKey, std::size_t> places_;  // in records_
    std::unique_ptr<Recorder> recorder_;
};

}  // namespace bitnet
