#include "bitnet/recorder.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>

namespace bitnet {
namespace {

constexpr int rows_together = 8;  // as many as a hash has lanes
constexpr std::size_t most_waiting = 1 << 17;  // values: 512 KB, about what a core's cache holds

const std::uint8_t* bytes_of(const float* values) { return reinterpret_cast<const std::uint8_t*>(values); }

void append_hex(const Digest& digest, std::string& out) {
    char text[2 * sizeof(Digest)], *at = text;
    for (const std::uint8_t byte : digest) {
        *at++ = "0123456789abcdef"[byte >> 4];
        *at++ = "0123456789abcdef"[byte & 15];
    }
    out.append(text, sizeof text);
}

// Integers whole, float32 as the shortest text that reads back as the same.
template <class Number>
void append_field(std::string_view key, Number value, std::string& out) {
    char text[32];
    out += key;
    out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

}  // namespace

void Recorder::add(ThreadPool& pool, const StageRows& rows) {
    const std::size_t index = index_of(rows);
    std::vector<Row>& measured = stages_[index].rows;
    const std::size_t at = measured.size();
    measured.resize(at + std::size_t(rows.rows));
    if (rows.call_rows == 1) {
        Waiting& waiting = waiting_[rows.width];
        waiting.values.insert(waiting.values.end(), rows.values, rows.values + rows.width);
        waiting.stages.push_back(index);
        n_waiting_ += rows.width;
        if (n_waiting_ > most_waiting) measure_waiting(pool);
        return;
    }
    const int tasks = (rows.rows + rows_together - 1) / rows_together;
    pool.run(tasks, [&](int task, int) {
        const int from = task * rows_together, to = std::min(rows.rows, from + rows_together);
        measure(rows, from, to, &measured[at + std::size_t(from)]);
    });
}

std::size_t Recorder::index_of(const StageRows& rows) {
    const auto [place, is_new] = places_.try_emplace({rows.layer, rows.stage}, stages_.size());
    if (is_new) {
        stages_.push_back({rows, {}});
        stages_.back().first.values = nullptr;  // the caller's, gone when the records are taken
    }
    return place->second;
}

void Recorder::measure_waiting(ThreadPool& pool) {
    struct Task {
        std::size_t width, first, count;
        const Waiting* waiting;
    };
    const auto threads = std::size_t(pool.threads());
    std::vector<Task> tasks;
    for (auto place = waiting_.rbegin(); place != waiting_.rend(); ++place) {  // the longest tasks first
        const auto& [width, waiting] = *place;
        const std::size_t n = waiting.stages.size(), share = (n + threads - 1) / threads;
        const std::size_t step = std::min(share, std::size_t(rows_together));
        for (std::size_t first = 0; first < n; first += step)
            tasks.push_back({width, first, std::min(n - first, step), &waiting});
    }
    pool.run(int(tasks.size()), [&](int index, int) {
        const Task& task = tasks[std::size_t(index)];
        const int count = int(task.count);
        const float* values = task.waiting->values.data() + task.first * task.width;
        Row rows[rows_together];
        measure({0, {}, 0, count, count, task.width, 0, values}, 0, count, rows);
        for (std::size_t i = 0; i < task.count; ++i)
            stages_[task.waiting->stages[task.first + i]].rows[0] = rows[i];
    });
    for (auto& [width, waiting] : waiting_) waiting.values.clear(), waiting.stages.clear();
    n_waiting_ = 0;
}

void Recorder::measure(const StageRows& rows, int from, int to, Row* out) const {
    if (rows.heads > 0) {
        for (int row = from; row < to; ++row) measure_visible(rows, row, out[row - from]);
        return;
    }
    const float* first = rows.values + std::size_t(from) * rows.width;
    const std::size_t bytes = rows.width * sizeof(float);
    Digest digests[rows_together];
    hash_messages(kernels_, bytes_of(first), bytes, to - from, bytes, digests);
    for (int row = 0; row < to - from; ++row) {
        const float* values = first + std::size_t(row) * rows.width;
        out[row] = {kernels_.row_statistics(values, rows.width), rows.width, digests[row]};
    }
}

void Recorder::measure_visible(const StageRows& rows, int row, Row& out) const {
    const auto heads = std::size_t(rows.heads), length = rows.width / heads;
    const std::size_t visible = std::min(length, std::size_t(rows.position + row) + 1);
    std::vector<float> seen(heads * visible);
    for (std::size_t head = 0; head < heads; ++head) {
        std::copy_n(rows.values + std::size_t(row) * rows.width + head * length, visible,
                    seen.begin() + std::ptrdiff_t(head * visible));
    }
    out = {kernels_.row_statistics(seen.data(), seen.size()), seen.size(), {}};
    hash_messages(kernels_, bytes_of(seen.data()), 0, 1, seen.size() * sizeof(float), &out.digest);
}

std::vector<std::string> Recorder::take(ThreadPool& pool, int seq) {
    measure_waiting(pool);
    const std::map<int, int> times = count_positions(seq);
    std::vector<std::string> lines(stages_.size());
    pool.run(int(stages_.size()),
             [&](int i, int) { lines[std::size_t(i)] = lines_of(stages_[std::size_t(i)], seq, times); });
    stages_.clear();
    places_.clear();
    return lines;
}

// How often each position of this call has been recorded, this time included: more than once after a
// rollback.
std::map<int, int> Recorder::count_positions(int seq) {
    std::set<std::pair<int, int>> ranges;
    for (const Recorded& stage : stages_)
        ranges.emplace(stage.first.position, stage.first.position + int(stage.rows.size()));
    std::map<int, int> times;
    for (const auto& [from, to] : ranges) {
        for (int position = from; position < to; ++position) times[position] = 0;
    }
    for (auto& [position, count] : times) count = ++times_recorded_[{seq, position}];
    return times;
}

std::string Recorder::lines_of(const Recorded& stage, int seq, const std::map<int, int>& times) const {
    const StageRows& first = stage.first;
    const std::string name_begins = "{\"name\":\"seq" + std::to_string(seq) + "/pos";
    const std::string block = first.layer >= 0 ? "/blk" + std::to_string(first.layer) + "/" : "/";
    const std::string name_ends = block + first.stage;
    const std::string shape =
        "\",\"shape\":[" + (first.heads > 0 ? std::to_string(first.heads) + "," : std::string());
    const std::string origin =
        "],\"dtype\":\"F32\",\"seq\":" + std::to_string(seq) + ",\"layer\":" + std::to_string(first.layer) +
        ",\"stage\":\"" + first.stage + "\",\"batch\":" + std::to_string(first.call_rows) +
        ",\"engine\":\"" + engine_ + "\",\"run\":\"" + run_ + '"';
    std::string out;
    out.reserve(stage.rows.size() * (origin.size() + 300));
    for (std::size_t i = 0; i < stage.rows.size(); ++i) {
        const Row& row = stage.rows[i];
        const int position = first.position + int(i), count = times.at(position);
        append_field(name_begins, position, out);
        out += name_ends;
        if (count > 1) append_field("~", count, out);
        append_field(shape, row.elements / std::size_t(std::max(first.heads, 1)), out);
        out += origin;
        append_field(",\"position\":", position, out);
        append_measures(row, out);
        out += "}\n";
    }
    return out;
}

// Without finite elements nothing is said of them.
void Recorder::append_measures(const Row& row, std::string& out) {
    const RowStatistics& found = row.statistics;
    out += ",\"blake3\":\"";
    append_hex(row.digest, out);
    append_field("\",\"num_elements\":", row.elements, out);
    append_field(",\"non_finite\":", found.non_finite, out);
    if (found.non_finite == row.elements) {
        out += ",\"rms\":null";
        return;
    }
    const auto count = double(row.elements - found.non_finite);
    append_field(",\"rms\":", float(std::sqrt(found.squares / count)), out);
    append_field(",\"min\":", found.min, out);
    append_field(",\"max\":", found.max, out);
    append_field(",\"mean\":", float(found.sum / count), out);
}

}  // namespace bitnet
