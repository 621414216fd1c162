#include "library/trace.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <span>
#include <vector>

#include "library/arithmetic_names.hpp"
#include "library/bad_input.hpp"
#include "library/blake3.hpp"

namespace bitnet::library {
namespace {

constexpr const char* engine = "libbitnet";

// A new folder; nothing is ever overwritten.
std::filesystem::path new_run(const std::filesystem::path& folder) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    for (int number = 1; !error; ++number) {
        const auto path = folder / (number == 1 ? engine : engine + ("-" + std::to_string(number)));
        if (std::filesystem::create_directory(path, error)) return path;
    }
    throw BadInput("the trace folder " + folder.string() + " cannot be made: " + error.message());
}

// A JSON string of a text that is UTF-8.
std::string json(const std::string& text) {
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') result += '\\';
        if (static_cast<unsigned char>(c) >= 0x20) {
            result += c;
            continue;
        }
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, "\\u%04x", unsigned(c));
        result += escaped;
    }
    return result + "\"";
}

// A member "key":value behind others.
std::string member(const char* key, const std::string& value) {
    return std::string(",\"") + key + "\":" + value;
}

// Nine digits, which tell every two float32 apart.
std::string number(double value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%.9g", value);
    return digits;
}

// The fingerprint of bitparity.engine.
std::string fingerprint(const OpenModel& model, int threads) {
    return "{\"engine\":" + json(engine) + member("version", json(BITNET_VERSION)) +
           member("compiler", json(compiler_name())) + member("isa", json(model.kernels().isa)) +
           member("kernels", json(model.kernels().name)) + member("threads", std::to_string(threads)) +
           member("kv_type", json("f16")) +
           member("details", "{\"arithmetic\":" + json(name_of(model.arithmetic())) + "}") + "}";
}

// Of the elements that are finite, where there are any.
std::string statistics(std::span<const float> values) {
    double sum = 0, squares = 0;
    float least = HUGE_VALF, most = -HUGE_VALF;
    std::size_t finite = 0;
    for (const float value : values) {
        if (!std::isfinite(value)) continue;
        ++finite;
        sum += double(value);
        squares += double(value) * double(value);
        least = std::min(least, value);
        most = std::max(most, value);
    }
    std::string text = member("num_elements", std::to_string(values.size())) +
                       member("non_finite", std::to_string(values.size() - finite));
    if (finite == 0) return text + member("rms", "null");
    return text + member("rms", number(std::sqrt(squares / double(finite)))) +
           member("min", number(double(least))) + member("max", number(double(most))) +
           member("mean", number(sum / double(finite)));
}

}  // namespace

TraceWriter::TraceWriter(const std::string& folder, const OpenModel& model, int threads,
                         const std::string& filter)
    : n_head_(model.shape().n_head) {
    const std::filesystem::path path = new_run(folder);
    run_ = path.filename().string();
    std::ofstream meta(path / "meta.json");
    meta << "{\"engine\":" << json(engine) << member("run", json(run_)) << member("stages", json(filter))
         << member("fingerprint", fingerprint(model, threads)) << "}\n";
    lines_.open(path / "trace.jsonl");
    if (!meta.flush() || !lines_) throw BadInput("the trace in " + path.string() + " cannot be written");
}

void TraceWriter::write(const StageRecord& record, int seq) {
    for (int index = 0; index < record.positions; ++index) write_row(record, seq, index);
    if (!lines_.flush()) throw BadInput("the trace cannot be written; the disk may be full");
}

// The probabilities of attention are kept up to the position itself: what lies beyond depends on the call.
void TraceWriter::write_row(const StageRecord& record, int seq, int index) {
    const std::size_t width = record.values.size() / std::size_t(record.positions);
    const int position = record.position + index;
    std::span<const float> row(record.values.data() + std::size_t(index) * width, width);
    std::string shape = "[" + std::to_string(width) + "]";
    std::vector<float> kept;
    if (record.stage == "attn_probs") {
        const std::size_t head_width = width / std::size_t(n_head_);
        for (std::size_t at = 0; at < width; at += head_width) {
            const auto head = row.subspan(at, std::size_t(position + 1));
            kept.insert(kept.end(), head.begin(), head.end());
        }
        shape = "[" + std::to_string(n_head_) + ", " + std::to_string(position + 1) + "]";
        row = kept;
    }
    const std::span bytes(reinterpret_cast<const std::uint8_t*>(row.data()), row.size_bytes());
    lines_ << "{\"name\":" << json(name_of(record, seq, position)) << ",\"shape\":" << shape
           << ",\"dtype\":\"F32\"" << member("seq", std::to_string(seq))
           << member("layer", std::to_string(record.layer)) << member("stage", json(record.stage))
           << member("batch", std::to_string(record.positions)) << member("engine", json(engine))
           << member("run", json(run_)) << member("position", std::to_string(position))
           << member("blake3", json(blake3(bytes))) << statistics(row) << "}\n";
}

std::string TraceWriter::name_of(const StageRecord& record, int seq, int position) {
    const std::string block = record.layer < 0 ? "" : "blk" + std::to_string(record.layer) + "/";
    const std::string name =
        "seq" + std::to_string(seq) + "/pos" + std::to_string(position) + "/" + block + record.stage;
    const int times = ++times_used_[name];
    return times == 1 ? name : name + "~" + std::to_string(times);
}

}  // namespace bitnet::library
