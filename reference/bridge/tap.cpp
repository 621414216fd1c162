#include "tap.hpp"

#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <exception>
#include <limits>
#include <stdexcept>
#include <utility>

namespace bridge {

namespace {

std::string identity(const char* name, const char* op) { return std::string(name) + '\n' + op; }

/// The entry of a node in a map or set, by its own name, else by that of what it takes first.
template <typename Table>
auto entry_of(const Table& table, const ggml_tensor* node) {
    const char* op = ggml_op_name(node->op);
    const auto found = table.find(identity(node->name, op));
    if (found != table.end() || !node->src[0]) return found;
    return table.find(identity(node->src[0]->name, op));
}

/// The node's bytes where the CPU can read them; `buffer` keeps them if they had to be fetched.
const std::byte* host_bytes(const ggml_tensor* node, std::vector<std::byte>& buffer) {
    const ggml_tensor* owner = node->view_src ? node->view_src : node;
    if (!owner->buffer || ggml_backend_buffer_is_host(owner->buffer))
        return static_cast<const std::byte*>(node->data);
    buffer.resize(ggml_nbytes(node));
    ggml_backend_tensor_get(node, buffer.data(), 0, buffer.size());
    return buffer.data();
}

/// Copy `n` elements that lie `stride` bytes apart, as float32.
void copy_row(const std::byte* source, std::size_t stride, ggml_type type, std::size_t n, float* target) {
    if (type == GGML_TYPE_F32 && stride == sizeof(float)) {
        std::memcpy(target, source, n * sizeof(float));
        return;
    }
    for (std::size_t i = 0; i < n; ++i, source += stride) {
        if (type == GGML_TYPE_F32) {
            std::memcpy(target + i, source, sizeof(float));
        } else {
            ggml_fp16_t half;
            std::memcpy(&half, source, sizeof half);
            target[i] = ggml_fp16_to_fp32(half);
        }
    }
}

}  // namespace

void Rounding::move(float* values, std::size_t n) {
    const float smallest = 2 * std::numeric_limits<float>::min();  // a step down may not reach zero
    for (std::size_t i = 0; i < n; ++i) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Knuth's MMIX
        if (!std::isfinite(values[i]) || std::abs(values[i]) < smallest) continue;
        const int away = state_ >> 63 ? steps_ : -steps_;
        values[i] = std::bit_cast<float>(std::bit_cast<std::int32_t>(values[i]) + away);
    }
}

std::size_t Capture::bytes() const {
    std::size_t n = sizeof(float);
    for (const std::size_t extent : shape) n *= extent;
    return n;
}

void CaptureQueue::open() {
    const std::lock_guard lock(mutex_);
    items_.clear();
    held_ = 0;
    open_ = true;
}

void CaptureQueue::push(Capture capture) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !open_ || held_ < limit_; });
    if (!open_) return;
    held_ += capture.bytes();
    items_.push_back(std::move(capture));
    changed_.notify_all();
}

std::optional<Capture> CaptureQueue::pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !open_ || !items_.empty(); });
    if (items_.empty()) return std::nullopt;
    Capture first = std::move(items_.front());
    items_.pop_front();
    held_ -= first.bytes();
    changed_.notify_all();
    return first;
}

void CaptureQueue::close() {
    const std::lock_guard lock(mutex_);
    open_ = false;
    changed_.notify_all();
}

void CaptureQueue::abandon() {
    const std::lock_guard lock(mutex_);
    open_ = false;
    items_.clear();
    changed_.notify_all();
}

void Tap::watch(const std::vector<Watch>& watches) {
    watches_.clear();
    for (const Watch& watch : watches)
        watches_.emplace(identity(watch.name.c_str(), watch.op.c_str()), watch);
}

void Tap::round(const std::vector<std::pair<std::string, std::string>>& nodes, Rounding rounding) {
    rounding_ = rounding;
    for (const auto& [name, op] : nodes) rounded_.insert(identity(name.c_str(), op.c_str()));
}

void Tap::begin_chunk(std::int64_t first, std::int64_t end) { first_ = first, end_ = end; }

void Tap::rethrow() {
    if (!problem_.empty()) throw std::runtime_error(std::exchange(problem_, {}));
}

const Watch* Tap::find(const ggml_tensor* node) const {
    const auto found = entry_of(watches_, node);
    return found == watches_.end() ? nullptr : &found->second;
}

bool Tap::rounds(const ggml_tensor* node) const { return entry_of(rounded_, node) != rounded_.end(); }

bool Tap::callback(ggml_tensor* node, bool ask, void* self) {
    Tap& tap = *static_cast<Tap*>(self);
    if (ask && tap.listing_)
        tap.listing_->push_back({node->name, ggml_op_name(node->op), ggml_type_name(node->type),
                                 std::vector<std::int64_t>(node->ne, node->ne + GGML_MAX_DIMS)});
    if (tap.watches_.empty() && tap.rounded_.empty())
        return !ask;  // asks for nothing, so the graph is computed in one go
    const Watch* watch = tap.find(node);
    const bool rounds = tap.rounds(node);
    if (ask) return watch || rounds;
    try {
        if (rounds) tap.move(node);
        if (watch) tap.copy(node, *watch);
    } catch (const std::exception& error) {
        tap.problem_ = std::string(node->name) + ": " + error.what();
    }
    return true;
}

void Tap::move(ggml_tensor* node) {
    if (node->type != GGML_TYPE_F32 || !ggml_is_contiguous(node))
        throw std::runtime_error("cannot be moved: its values are not float32, one after the other");
    std::vector<float> values(static_cast<std::size_t>(ggml_nelements(node)));
    if (values.empty()) return;
    ggml_backend_tensor_get(node, values.data(), 0, ggml_nbytes(node));
    rounding_.move(values.data(), values.size());
    ggml_backend_tensor_set(node, values.data(), 0, ggml_nbytes(node));
}

void Tap::copy(const ggml_tensor* node, const Watch& watch) {
    if (node->type != GGML_TYPE_F32 && node->type != GGML_TYPE_F16)
        throw std::runtime_error(std::string("cannot read values of type ") + ggml_type_name(node->type));
    if (node->ne[3] != 1) throw std::runtime_error("has four axes; three were expected");

    const int positions = watch.position_axis, outer = 3 - positions;
    const auto extent = [&](int axis) { return static_cast<std::size_t>(node->ne[axis]); };
    const std::size_t inner = watch.trim ? std::min(extent(0), static_cast<std::size_t>(end_)) : extent(0);
    const std::int64_t first = end_ - node->ne[positions];  // llama.cpp drops leading positions, if any
    Capture capture{watch.key, first, {extent(positions), extent(outer), inner}, nullptr};
    if (capture.bytes() == 0) return;  // a chunk that gives no logits computes no rows of its last stages

    capture.values = std::make_unique_for_overwrite<float[]>(capture.bytes() / sizeof(float));
    float* target = capture.values.get();
    std::vector<std::byte> fetched;
    const std::byte* source = host_bytes(node, fetched);
    for (std::size_t i = 0; i < extent(positions); ++i)
        for (std::size_t j = 0; j < extent(outer); ++j, target += inner) {
            const std::byte* row = source + i * node->nb[positions] + j * node->nb[outer];
            copy_row(row, node->nb[0], node->type, inner, target);
        }
    queue_.push(std::move(capture));
}

}  // namespace bridge
