// Who gets the stages of a session's calls: a caller's tap, a trace, or both.
#pragma once

#include <exception>
#include <memory>
#include <set>
#include <string>

#include "bitnet.h"
#include "bitnet/tap.hpp"
#include "library/trace.hpp"

namespace bitnet::library {

class Watchers {
public:
    // A tap of null ends it.
    void set_tap(StageList stages, bitnet_tap_function tap, void* user);
    void set_trace(StageList stages, std::unique_ptr<TraceWriter> trace);

    // Have the stages of the next call handed out.
    void begin(Tap& tap, int seq);
    // Ends that; throws what a watcher has thrown, now that the call is done.
    void end(Tap& tap);

private:
    void hand_out(const StageRecord& record, int seq);

    std::set<StageKey> tapped_, traced_;
    bitnet_tap_function tap_ = nullptr;
    void* user_ = nullptr;
    std::unique_ptr<TraceWriter> trace_;
    std::exception_ptr thrown_;
};

}  // namespace bitnet::library
