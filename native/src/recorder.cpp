#include "bitnet/recorder.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
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

// As a string of JSON: UTF-8 stays as it is.
std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (static_cast<unsigned char>(c) >= 0x20) {
            out += c;
            continue;
        }
        out += "\\u00";
        out += "0123456789abcdef"[c >> 4];
        out += "0123456789abcdef"[c & 15];
    }
    return out + '"';
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
    for (int row = 0; row < rows.rows; ++row)
        measured.push_back({rows.position + row, rows.call_rows, {}});
    if (rows.call_rows == 1) {
        Waiting& waiting = waiting_[rows.width];
        waiting.values.insert(waiting.values.end(), rows.values, rows.values + rows.width);
        waiting.at.emplace_back(index, at);
        n_waiting_ += rows.width;
        if (n_waiting_ > most_waiting) measure_waiting(pool);
        return;
    }
    const int tasks = (rows.rows + rows_together - 1) / rows_together;
    pool.run(tasks, [&](int task, int) {
        const int from = task * rows_together, to = std::min(rows.rows, from + rows_together);
        Measures found[rows_together];
        measure(rows, from, to, found);
        for (int row = from; row < to; ++row) measured[at + std::size_t(row)].measures = found[row - from];
    });
}

std::size_t Recorder::index_of(const StageRows& rows) {
    const auto [place, is_new] = places_.try_emplace({rows.layer, rows.stage}, stages_.size());
    if (is_new) stages_.push_back({rows.layer, rows.stage, rows.heads, &seen_[place->first], {}});
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
        const std::size_t n = waiting.at.size(), share = (n + threads - 1) / threads;
        const std::size_t step = std::min(share, std::size_t(rows_together));
        for (std::size_t first = 0; first < n; first += step)
            tasks.push_back({width, first, std::min(n - first, step), &waiting});
    }
    pool.run(int(tasks.size()), [&](int index, int) {
        const Task& task = tasks[std::size_t(index)];
        const int count = int(task.count);
        const float* values = task.waiting->values.data() + task.first * task.width;
        Measures found[rows_together];
        measure({0, {}, 0, count, count, task.width, 0, values}, 0, count, found);
        for (std::size_t i = 0; i < task.count; ++i) {
            const auto& [stage, row] = task.waiting->at[task.first + i];
            stages_[stage].rows[row].measures = found[i];
        }
    });
    for (auto& [width, waiting] : waiting_) waiting.values.clear(), waiting.at.clear();
    n_waiting_ = 0;
}

void Recorder::measure(const StageRows& rows, int from, int to, Measures* out) const {
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

void Recorder::measure_visible(const StageRows& rows, int row, Measures& out) const {
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
    std::vector<std::string> lines(stages_.size());
    pool.run(int(stages_.size()),
             [&](int i, int) { lines[std::size_t(i)] = lines_of(stages_[std::size_t(i)], seq); });
    stages_.clear();
    places_.clear();
    return lines;
}

std::string Recorder::lines_of(const Recorded& recorded, int seq) const {
    const std::string stage = quoted(recorded.stage);
    const std::string name_begins = "{\"name\":\"seq" + std::to_string(seq) + "/pos";
    const std::string block = recorded.layer >= 0 ? "/blk" + std::to_string(recorded.layer) + "/" : "/";
    const std::string name_ends = block + stage.substr(1, stage.size() - 2);
    const std::string shape =
        "\",\"shape\":[" + (recorded.heads > 0 ? std::to_string(recorded.heads) + "," : std::string());
    const std::string origin = "],\"dtype\":\"F32\",\"seq\":" + std::to_string(seq) +
                               ",\"layer\":" + std::to_string(recorded.layer) + ",\"stage\":" + stage +
                               ",\"engine\":" + quoted(engine_) + ",\"run\":" + quoted(run_);
    std::string out;
    out.reserve(recorded.rows.size() * (origin.size() + 300));
    for (const Row& row : recorded.rows) {
        const int times = times_seen(*recorded.seen, seq, row.position);
        append_field(name_begins, row.position, out);
        out += name_ends;
        if (times > 1) append_field("~", times, out);
        append_field(shape, row.measures.elements / std::size_t(std::max(recorded.heads, 1)), out);
        out += origin;
        append_field(",\"batch\":", row.batch, out);
        append_field(",\"position\":", row.position, out);
        append_measures(row.measures, out);
        out += "}\n";
    }
    return out;
}

// How often a stage has been recorded there, this time included: more than once after a rollback.
int Recorder::times_seen(Seen& seen, int seq, int position) {
    const std::uint64_t place = std::uint64_t(seq) << 32 | std::uint32_t(position);
    const auto [first, last] = std::equal_range(seen.begin(), seen.end(), place);
    const auto times = int(last - first) + 1;
    seen.insert(last, place);
    return times;
}

// Without finite elements nothing is said of them.
void Recorder::append_measures(const Measures& row, std::string& out) {
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
