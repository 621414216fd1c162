// Writing a trace, as bitparity.trace.store describes it: a new folder with meta.json and trace.jsonl, which has a line
// for each stage at each position.
#pragma once

#include <fstream>
#include <map>
#include <string>

#include "bitnet/tap.hpp"
#include "library/model.hpp"

namespace bitnet::library {

class TraceWriter {
public:
    // Makes FOLDER/libbitnet, with a number behind it if that is taken.  Throws BadInput when it cannot.
    TraceWriter(const std::string& folder, const OpenModel& model, int threads, const std::string& filter);

    // values (record.positions, width); seq is 0 for prefill, then 1, 2, ... a decode step.  Throws BadInput when the
    // disk is full.
    void write(const StageRecord& record, int seq);

private:
    void write_row(const StageRecord& record, int seq, int index);
    std::string name_of(const StageRecord& record, int seq, int position);

    int n_head_;
    std::string run_;
    std::ofstream lines_;
    std::map<std::string, int> times_used_;
};

}  // namespace bitnet::library
