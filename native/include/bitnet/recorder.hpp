// Trace records of stages, made where the values are: what bitparity.trace.record defines, as lines of JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bitnet/blake3.hpp"
#include "bitnet/kernels.hpp"
#include "bitnet/thread_pool.hpp"

namespace bitnet {

// Consecutive positions of one stage of a call.
struct StageRows {
    int layer;
    std::string stage;
    int position;       // of the first row
    int rows;           // here
    int call_rows;      // in the whole call, which may give a stage in parts
    std::size_t width;  // elements a row
    // Of attention probabilities, else 0: a row is (heads, width / heads) and ends at its own position; what
    // lies beyond depends on how many positions a call has.
    int heads;
    const float* values;  // (rows, width)
};

class Recorder {
public:
    Recorder(const KernelSet& kernels, std::string engine, std::string run)
        : kernels_(kernels), engine_(std::move(engine)), run_(std::move(run)) {}

    // A call may give a stage in parts, at any positions.
    void add(ThreadPool& pool, const StageRows& rows);

    // The records of the call, a line for each position of each stage, stages in the order in which they
    // came, a string each; forgets them.
    std::vector<std::string> take(ThreadPool& pool, int seq);

private:
    struct Measures {
        RowStatistics statistics;
        std::size_t elements;
        Digest digest;
    };
    struct Row {
        int position, batch;
        Measures measures;
    };
    using Seen = std::vector<std::uint64_t>;  // seq and position of every record so far, sorted
    struct Recorded {
        int layer;
        std::string stage;
        int heads;
        Seen* seen;
        std::vector<Row> rows;
    };
    // A call of one position has hundreds of short rows.  They wait, sorted by width, to be measured several
    // together.
    struct Waiting {
        std::vector<float> values;                            // (rows, width)
        std::vector<std::pair<std::size_t, std::size_t>> at;  // index in stages_ and in its rows
    };

    std::size_t index_of(const StageRows& rows);
    void measure_waiting(ThreadPool& pool);
    void measure(const StageRows& rows, int from, int to, Measures* out) const;
    void measure_visible(const StageRows& rows, int row, Measures& out) const;
    std::string lines_of(const Recorded& recorded, int seq) const;
    static int times_seen(Seen& seen, int seq, int position);
    static void append_measures(const Measures& row, std::string& out);

    const KernelSet& kernels_;
    std::string engine_, run_;
    std::vector<Recorded> stages_;
    std::map<std::pair<int, std::string>, std::size_t> places_;  // (layer, stage) -> index in stages_
    std::map<std::pair<int, std::string>, Seen> seen_;           // by (layer, stage)
    std::map<std::size_t, Waiting> waiting_;                     // by width
    std::size_t n_waiting_ = 0;                                  // values
};

}  // namespace bitnet
