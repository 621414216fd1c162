// Copies chosen nodes of the graph while llama.cpp evaluates it, through the context's `cb_eval`, or moves their
// values by what a rounding would.
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

struct ggml_tensor;

namespace bridge {

/// A node to copy.  Names repeat in a graph (Qcur-3 is a product, then a rotation); with the op they do not.
/// A node that the graph does not name goes by the name of what it takes first, the weight of a product.
struct Watch {
    std::string name;
    std::string op;
    int position_axis;  // the ggml axis that runs over positions, 1 or 2
    bool trim;          // axis 0 runs over cache cells, padded: keep those up to the last position
    int key;            // given back with what was copied
};

/// One node's value: float32, C order, shape (positions, the other of ggml's axes 1 and 2, axis 0).
struct Capture {
    int key;
    std::int64_t first_position;
    std::array<std::size_t, 3> shape;
    std::unique_ptr<float[]> values;
    std::size_t bytes() const;
};

/// A node as the graph has it, for people who write the node tables.
struct NodeDescription {
    std::string name;
    std::string op;
    std::string type;
    std::vector<std::int64_t> shape;  // ggml order, innermost first
};

/// Moves float32 values by a few of the next values up or down, at random.
class Rounding {
public:
    Rounding(std::uint64_t seed, int steps) : state_(seed), steps_(steps) {}
    void move(float* values, std::size_t n);

private:
    std::uint64_t state_;
    int steps_;
};

/// A bounded queue of captures between the thread that evaluates and the thread that reads.
class CaptureQueue {
public:
    explicit CaptureQueue(std::size_t limit_bytes) : limit_(limit_bytes) {}
    void open();
    void push(Capture capture);    // waits while the queue is full; drops when closed
    std::optional<Capture> pop();  // waits; nothing once it is closed and empty
    void close();                  // what was pushed can still be read
    void abandon();                // nobody reads any more

private:
    std::size_t limit_;
    std::size_t held_ = 0;
    bool open_ = false;
    std::deque<Capture> items_;
    std::mutex mutex_;
    std::condition_variable changed_;
};

class Tap {
public:
    void watch(const std::vector<Watch>& watches);
    /// From now on the nodes with these names and ops get other values, before they are copied or read.
    void round(const std::vector<std::pair<std::string, std::string>>& nodes, Rounding rounding);
    /// The next graph covers positions [first, end).
    void begin_chunk(std::int64_t first, std::int64_t end);
    /// Describe the nodes of the next graph instead of copying.
    void list_into(std::vector<NodeDescription>* nodes) { listing_ = nodes; }
    /// Throws what went wrong inside the callback, where nothing may be thrown through C.
    void rethrow();

    CaptureQueue& queue() { return queue_; }
    static bool callback(ggml_tensor* node, bool ask, void* tap);

private:
    const Watch* find(const ggml_tensor* node) const;
    bool rounds(const ggml_tensor* node) const;
    void copy(const ggml_tensor* node, const Watch& watch);
    void move(ggml_tensor* node);

    std::unordered_map<std::string, Watch> watches_;
    std::unordered_set<std::string> rounded_;
    Rounding rounding_{0, 0};
    std::int64_t first_ = 0, end_ = 0;
    std::vector<NodeDescription>* listing_ = nullptr;
    std::string problem_;
    CaptureQueue queue_{std::size_t{64} << 20};
};

}  // namespace bridge
